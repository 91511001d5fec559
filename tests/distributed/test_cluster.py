"""A run in several processes: to the bytes of one process, whatever happens to them. One Ray for all tests."""

import os
import signal
import sys
import threading
from functools import partial

import psutil
import pytest
from support.messages import says_what_to_do
from support.paths import ROOT
from support.small_runs import IMAGES, NEVER, SIZE, Away, Dying, DyingOf, files_of, refusing, rows_of, tiny, title_of

from abele_py.distributed import cluster, explain_dataset, read_run
from abele_py.distributed.images import images_of, in_shards
from abele_py.distributed.making import Maker
from abele_py.distributed.shards import shard_paths
from abele_py.errors import BlackBoxError, Interruption, MissingExtraError, ParameterError, WorkerError

ray = pytest.importorskip("ray", reason="the extra [cluster] is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def joined():
    """Ray on this machine alone, which finds the modules of tests."""
    with pytest.MonkeyPatch.context() as patch, cluster.environment(cluster.ALONE):
        patch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "tests"))))
        ray.init("local", num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of a run in this process."""
    out = tmp_path_factory.mktemp("expected") / "run"
    explain_dataset(IMAGES, tiny(), out, keep="full", **SIZE)
    return files_of(out)


@pytest.fixture
def run(tmp_path):
    return partial(explain_dataset, IMAGES, tiny(), tmp_path / "run", keep="full", workers=2, **SIZE)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def workers():
    """The processes of this one's actors."""
    children = psutil.Process().children(recursive=True)
    return sorted(child.pid for child in children if "_Worker" in title_of(child))


@pytest.mark.parametrize("n", [2, 4])
def test_the_bytes_are_those_of_one_process(n, run, out, expected, joined):
    told = []
    assert run(workers=n, progress=lambda *done: told.append(done)).n_images == 40
    assert files_of(out) == expected
    assert told == [(4 * i, 40) for i in range(1, 11)]
    assert ray.is_initialized(), "Ray was there before, and stays"


def test_what_is_left_is_made_in_any_order(run, out, expected, joined):
    run()
    for path in shard_paths(out)[::3]:
        path.unlink()
    run()
    assert files_of(out) == expected
    images = images_of(IMAGES, (1, 1, 2), ("dark", "bright"))
    maker = Maker(tiny(), read_run(out).digest, "full", None)
    for number, some in in_shards(images, 4, reversed(range(10))):
        assert maker.make(number, some).rows == expected[f"shards/00000/{number:08d}.parquet"]


def test_with_nothing_left_no_process_is_started(run, out, monkeypatch):
    run(workers=1)
    monkeypatch.setattr(cluster, "_joined", lambda *_: pytest.fail("not needed"))
    run()


def test_no_more_images_are_read_than_workers_are_near(out, joined):
    """Of a thousand shards some are read before the first is done, and no more than are written later."""
    read, most = [0], []

    def tasks():
        for number, some in in_shards(images_of(IMAGES, (1, 1, 2), ()), 1, range(40)):
            read[0] += 1
            yield number, some

    for done, _ in enumerate(cluster.on_ray(partial(Maker, tiny(), "run", "summary", None), tasks(), 2, None)):
        most.append(read[0] - done)
    assert max(most) <= 2 * 2 + 1


def test_an_interruption_ends_the_workers_and_the_same_call_goes_on(run, out, expected, joined):
    def stop(done, _):
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(Interruption, match="12 of 40 images"):
        run(progress=stop)
    run()
    assert files_of(out) == expected


def test_killed_workers_change_nothing(run, out, expected, joined):
    killed = []

    def kill(done, _):
        if done in (8, 20) and (left := workers()):
            killed.append(left[0])
            os.kill(left[0], signal.SIGKILL)

    run(progress=kill)
    assert len(killed) == 2
    assert files_of(out) == expected


def test_a_worker_is_killed_while_it_is_at_work(run, out, expected, joined):
    over = threading.Event()

    def killing():
        for _ in range(2):
            while not (left := workers()) and not over.wait(0.01):
                pass
            for pid in left[-1:]:
                os.kill(pid, signal.SIGKILL)
            over.wait(0.5)

    thread = threading.Thread(target=killing)
    thread.start()
    run()
    over.set()
    thread.join()
    assert files_of(out) == expected


# What fails


def test_an_image_that_the_black_box_refuses_has_a_row_with_the_reason(out, joined):
    images = IMAGES.clone()
    images[13, 0, 0, 0] = NEVER
    assert explain_dataset(images, tiny(refusing), out, workers=2, **SIZE).failed == {"BlackBoxError": 1}
    assert [row["index"] for row in rows_of(out) if row["error"]] == [13]


def test_a_black_box_that_is_away_is_the_error_that_it_is_in_one_process(out, tmp_path, joined):
    box = Away(tmp_path / "away")
    how = {"data": IMAGES, "explainer": tiny(box), "out": out, "workers": 2} | SIZE
    with pytest.raises(BlackBoxError, match="nobody answers") as error:
        explain_dataset(**how | {"progress": lambda *_: box.flag.touch()})
    assert type(error.value) is BlackBoxError
    assert 1 <= len(shard_paths(out)) < 10
    box.flag.unlink()
    assert explain_dataset(**how).failed == {}
    assert [row["index"] for row in rows_of(out)] == [*range(40)]


def test_workers_that_die_while_they_load_end_the_run_with_a_reason(out, tmp_path, joined, monkeypatch):
    monkeypatch.setattr(cluster, "RETRIES", 1)
    dying = Dying(tmp_path / "deadly")
    dying.flag.touch()
    with pytest.raises(WorkerError, match="lost 2 times while it loaded the models") as error:
        explain_dataset(IMAGES, dying, out, workers=2, **SIZE)
    assert says_what_to_do(error.value)
    dying.flag.unlink()
    assert explain_dataset(IMAGES, dying, out, workers=2, **SIZE).n_images == 40


def test_an_image_that_kills_its_worker_each_time_ends_the_run_and_names_the_shard(out, joined, monkeypatch):
    monkeypatch.setattr(cluster, "RETRIES", 1)
    images = IMAGES.clone()
    images[13, 0, 0, 0] = NEVER
    with pytest.raises(WorkerError, match=r"lost 2 times at shard (\d or )?3 ") as error:
        explain_dataset(images, tiny(DyingOf()), out, workers=2, **SIZE)
    assert says_what_to_do(error.value)


def test_what_a_maker_raises_is_raised_here(out, tmp_path, joined):
    survivor = os.getpid()

    def maker():
        if os.getpid() != survivor:
            raise ZeroDivisionError("not there")
        return tiny()

    with pytest.raises(ZeroDivisionError, match="not there"):
        explain_dataset(IMAGES, maker, out, workers=2, **SIZE)


def test_an_explainer_that_cannot_be_sent_is_refused(out, joined):
    explainer = tiny()
    explainer.lock = threading.Lock()
    with pytest.raises(ParameterError, match="cannot be sent to other processes") as error:
        explain_dataset(IMAGES, explainer, out, workers=2, **SIZE)
    assert says_what_to_do(error.value)
    assert explain_dataset(IMAGES, lambda: tiny(), out, workers=2, **SIZE).n_images == 40


def test_without_ray_the_extra_is_named(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"\[cluster\]"):
        explain_dataset(IMAGES, tiny(), out, workers=2, **SIZE)
    assert explain_dataset(IMAGES, tiny(), out, **SIZE).n_images == 40


def test_models_on_a_gpu_need_a_cluster_with_one(joined):
    if ray.cluster_resources().get("GPU"):
        pytest.skip("there is one")
    with pytest.raises(WorkerError, match="without one") as error:
        next(cluster.on_ray(partial(Maker, tiny(), "run", "summary", None), iter([]), 2, None, on_gpu=True))
    assert says_what_to_do(error.value)
