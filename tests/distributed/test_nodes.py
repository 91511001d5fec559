"""A cluster of two nodes, simulated on this machine: one is lost while a run goes on, and an address leads there."""

import os

import pytest
from support.paths import ROOT
from support.small_runs import IMAGES, SIZE, Slow, files_of, tiny

from abele_py.distributed import cluster, explain_dataset
from abele_py.errors import WorkerError

ray = pytest.importorskip("ray", reason="the extra [cluster] is not installed")
pytestmark = pytest.mark.slow
SOON = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3}


@pytest.fixture(scope="module")
def nodes():
    """A cluster whose head only keeps the books."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, cluster.environment(cluster.ALONE):
        patch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "tests"))))
        made = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": SOON})
        try:
            yield made
        finally:
            made.shutdown()


def test_a_node_is_lost_for_good_and_the_bytes_are_those_of_one_process(nodes, tmp_path, monkeypatch):
    """What the lost one was at is made by the other, which has no room for a second worker."""
    monkeypatch.setattr(cluster, "PATIENCE", 3.0)
    explainer = tiny(Slow())
    explain_dataset(IMAGES[:24], explainer, tmp_path / "alone", keep="full", **SIZE)
    first, second = nodes.add_node(num_cpus=1), nodes.add_node(num_cpus=1)

    def lose(done, _):
        if done == 8:
            nodes.remove_node(first, allow_graceful=False)

    how = {"data": IMAGES[:24], "explainer": explainer, "out": tmp_path / "run", "keep": "full", "shard_size": 4}
    explain_dataset(**how, workers=2, address=nodes.address, progress=lose)
    assert files_of(tmp_path / "run") == files_of(tmp_path / "alone")
    assert not ray.is_initialized(), "the cluster is left"
    assert [node for node in nodes.list_all_nodes() if node is second]


def test_there_is_room_for_fewer_workers_than_asked_for(nodes, tmp_path):
    nodes.add_node(num_cpus=1)
    how = {"data": IMAGES, "explainer": tiny(), "out": tmp_path / "run", "address": nodes.address} | SIZE
    assert explain_dataset(**how, workers=10).n_images == 40


def test_no_cluster_at_an_address(tmp_path):
    with pytest.raises(WorkerError, match=r"no Ray cluster at 127\.0\.0\.1:1 .*ray start --head"):
        explain_dataset(IMAGES, tiny(), tmp_path / "run", address="127.0.0.1:1", **SIZE)
