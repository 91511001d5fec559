"""Several processes train one network, and nothing that ends a training early costs more than the epoch it was in."""

import errno
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.utilities import rank_zero_only
from support.callbacks import Fail, Probe, Signal, Stop
from support.paths import ROOT
from torch.distributed.run import get_args_parser

from abele_py.errors import AbeleError, CheckpointError, ParameterError
from abele_py.models.checkpoints import read_manifest
from abele_py.storage.files import write_atomically
from abele_py.training import recipe as training
from abele_py.training.data_module import ImageData
from abele_py.training.recipe import train
from abele_py.training.run_folder import LAST, OPTIONS

AUTOENCODER = ROOT / "training" / "digits-autoencoder.yaml"
CNN = ROOT / "training" / "digits-cnn.yaml"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--threads=1"]
TWO = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


def callback(kind, **options):
    """Options that add one of the above to a training."""
    given = [f"--trainer.callbacks.{name}={value}" for name, value in options.items()]
    return [f"--trainer.callbacks+={kind.__module__}.{kind.__name__}", *given]


def command(python, *arguments, program=(Path(sys.executable).parent / "abele", "train")):
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK")}
    path = os.pathsep.join([str(ROOT / "tests"), environment.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [*map(str, (python, *program, *arguments))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT, env={**environment, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"},
    )  # fmt: skip


def finished(process, code=0, timeout=120):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == code, err[-3000:]
    return out, err


def options(where, *more):
    return [*QUIET, "--data.limit=120", "--data.batch_size=30", "--trainer.max_epochs=3", f"--runs={where}", *more]


# Several processes


@pytest.fixture(scope="module")
def shared(tmp_path_factory, python):
    """One training of an autoencoder by one process, and one by two: started by torchrun, stopped, and resumed."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for part in ("first", "then"):
        (two / part).mkdir()
    train(AUTOENCODER, [*options(one), "--model.shift=0.1", *callback(Probe, folder=one)])
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "abele_py.cli", "train"]
    same = [AUTOENCODER, *options(two), "--model.shift=0.1", *TWO]
    first, then = ([*same, *callback(Probe, folder=two / part)] for part in ("first", "then"))
    said = [
        finished(command(python, *first, *callback(Stop), program=torchrun)),
        finished(command(python, *then, "--resume")),
    ]
    return one, two, said


def steps(*folders):
    """What each process has seen of its steps, folder after folder."""
    parts = [[json.loads(path.read_text()) for path in sorted(folder.glob("?.json"))] for folder in folders]
    return [list(chain(*of_one)) for of_one in zip(*parts, strict=True)]


@pytest.mark.slow
def test_two_processes_end_with_one_checkpoint(shared):
    one, two, said = shared
    for out, err in said:
        assert out.count("checkpoint: ") == 1
        assert "Traceback" not in err
    whole, halves = steps(one), steps(two / "first", two / "then")
    assert (len(whole), len(halves)) == (1, 2)
    assert len(whole[0]) == len(halves[0]) == len(halves[1]) == 3 * 4
    first, second = (read_manifest(folder / "digits" / "checkpoint") for folder in (one, two))
    assert second.metrics["rmse_255"] == pytest.approx(first.metrics["rmse_255"], rel=0.1)
    assert not list((two / "digits").glob(".*")), "no half-written files"
    logged = [(folder / "digits" / "csv" / "metrics.csv").read_text().count("\n") for folder in (one, two)]
    assert logged[0] == logged[1], "written once"


@pytest.mark.slow
def test_both_processes_hold_the_same_network_after_each_step_and_draw_their_own_noise(shared):
    _, two, _ = shared
    both = steps(two / "first", two / "then")
    for a, b in zip(*both, strict=True):
        assert a["parameters"] == b["parameters"]
        assert a["images"] == b["images"] == 15
        assert a["noise"] != b["noise"]
    assert both[0][0]["parameters"] != both[0][-1]["parameters"]


@pytest.mark.slow
def test_a_training_that_torchrun_started_is_resumed_by_two_processes(shared):
    _, two, _ = shared
    assert [len(taken) for taken in steps(two / "first")] == [4, 4]
    assert [len(taken) for taken in steps(two / "then")] == [8, 8]
    assert torch.load(two / "digits" / LAST, weights_only=True)["epoch"] == 2


@pytest.mark.slow
def test_error_of_one_process_ends_all(tmp_path, python):
    _, err = finished(command(python, CNN, *options(tmp_path), *TWO, *callback(Fail)), code=2)
    assert "No space left on device" in err
    assert "Traceback" not in err


def test_forest_is_a_matter_of_one_process(tmp_path):
    with pytest.raises(ParameterError, match="n_jobs"):
        train(ROOT / "training" / "digits-forest.yaml", [*options(tmp_path), *TWO])


@pytest.mark.parametrize(("free", "moved"), [(10**9, True), (10_000, False)])
def test_images_are_held_where_the_training_is_if_they_fit(free, moved, monkeypatch):
    """No such device is needed to see where they would go."""
    gone, device = [], torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda asked: (free, 10**10))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, where: gone.append((where, tensor.dtype)) or tensor)
    data = ImageData("digits", 30, limit=100)
    data.trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=device))
    data.setup("fit")
    assert gone == (2 * [(device, torch.uint8), (device, torch.int64)] if moved else [])


# Interruptions


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Weights of a training that nothing interrupted."""
    return weights(train(CNN, options(tmp_path_factory.mktemp("whole"))))


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_bytes(whole, tmp_path, python):
    process = command(python, CNN, *options(tmp_path), *callback(Signal, number=int(signal.SIGKILL)))
    finished(process, code=-signal.SIGKILL)
    assert not (tmp_path / "digits-cnn" / "checkpoint").exists()
    state = torch.load(tmp_path / "digits-cnn" / LAST, weights_only=True)
    assert state["epoch"] == 0
    assert weights(train(CNN, options(tmp_path), resume=True)) == whole


@pytest.mark.slow
def test_sigterm_leaves_the_last_whole_epoch_and_says_how_to_go_on(whole, tmp_path):
    with pytest.raises(AbeleError, match=r"interruption.*last whole epoch.*--resume"):
        train(CNN, [*options(tmp_path), *callback(Signal, number=int(signal.SIGTERM))])
    assert weights(train(CNN, options(tmp_path), resume=True)) == whole


@pytest.mark.slow
def test_full_disk_costs_the_epoch_and_not_the_training(whole, tmp_path, monkeypatch):
    written = []

    def full(path, write):
        """Room for the two states of the first epoch and for half of the next."""
        written.append(path)
        if len(written) < 3:
            return write_atomically(path, write)
        return write_atomically(path, lambda file: (file.write(b"half"), exhausted()))

    def exhausted():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_atomically", full)
        with pytest.raises(AbeleError, match=r"cannot be written.*No space left.*make room.*--resume"):
            train(CNN, options(tmp_path))
    run = tmp_path / "digits-cnn"
    assert {path.name for path in run.glob("*.ckpt*")} == {"best.ckpt", LAST}
    assert not list(run.glob(".*"))
    assert weights(train(CNN, options(tmp_path), resume=True)) == whole


@pytest.mark.slow
def test_states_that_cannot_be_gone_on_with_are_told(tmp_path):
    few = [*options(tmp_path), "--trainer.max_epochs=1"]
    train(CNN, few)
    (tmp_path / "digits-cnn" / OPTIONS).unlink()  # of an earlier version, which wrote none
    with pytest.raises(ParameterError, match="another one"):
        train(CNN, [*few, "--model.hidden=7"], resume=True)
    last = tmp_path / "digits-cnn" / LAST
    for damage in (last.read_bytes()[:1000], b"", b"not a state"):
        last.write_bytes(damage)
        with pytest.raises(CheckpointError, match=r"damaged.*best\.ckpt"):
            train(CNN, few, resume=True)


@pytest.mark.slow
def test_fewer_images_than_a_batch_are_one_batch(tmp_path, caplog):
    folder = train(AUTOENCODER, [*options(tmp_path), "--data.limit=20", "--trainer.precision=bf16-mixed"])
    assert read_manifest(folder).metrics["rmse_255"] < 130
    assert "20 images are fewer than a batch of 30" in caplog.text


def test_an_image_alone_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"got 1 images.*use more images"):
        train(CNN, [*options(tmp_path), "--data.limit=1"])


# The page

PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```(?:bash|sbatch)\n(.*?)```", PAGE, flags=re.DOTALL)
LINES = [line.strip() for block in SHELL for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in LINES if re.match(r"abele|python|torchrun|srun", line)]


def of_abele(line, monkeypatch):
    """What a line gives to ``abele train``, by the parsers of the programs before it."""
    words = shlex.split(line.replace('"training/$name.yaml"', "training/cifar10-jpeg-cnn.yaml").replace("$resume", ""))
    if words[0] == "torchrun":
        given = get_args_parser().parse_args(words[1:])
        assert (given.module, given.training_script, given.training_script_args[0]) == (True, "abele_py.cli", "train")
        environment = {
            "RANK": 5, "LOCAL_RANK": 1, "GROUP_RANK": 1, "WORLD_SIZE": int(given.nnodes) * int(given.nproc_per_node),
            "LOCAL_WORLD_SIZE": given.nproc_per_node, "TORCHELASTIC_RUN_ID": "x",
            "MASTER_ADDR": given.master_addr, "MASTER_PORT": given.master_port,
        }  # fmt: skip
    elif words[0] == "srun":
        nodes, tasks = (int(re.search(rf"#SBATCH --{name}=(\d+)", PAGE)[1]) for name in ("nodes", "ntasks-per-node"))
        environment = {
            "SLURM_NTASKS": nodes * tasks, "SLURM_NTASKS_PER_NODE": tasks, "SLURM_PROCID": 5, "SLURM_LOCALID": 1,
            "SLURM_NODEID": 1, "SLURM_JOB_ID": 1, "SLURM_JOB_NAME": "x", "SLURM_NODELIST": "node[0-1]",
        }  # fmt: skip
    else:
        environment = {}
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    return words[words.index("train") + 1 :], (5, 8) if environment else (0, None)


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_the_page_is_understood(line, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    if line.startswith("python "):
        program, *arguments = shlex.split(line)[1:]
        spec = importlib.util.spec_from_file_location("program", ROOT / program)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.parser().parse_args(arguments).data_dir == "DIR"
        return
    arguments, (rank, processes) = of_abele(line, monkeypatch)
    if any("help" in word for word in arguments):
        with pytest.raises(SystemExit) as stopped:
            training.main(arguments)
        assert stopped.value.code == 0
        return
    trainer = training.parse([f"--config={arguments[0]}", *arguments[1:]]).trainer
    asked = int(arguments[arguments.index("--trainer.devices") + 1]) if "--trainer.devices" in arguments else 1
    assert (trainer.global_rank, trainer.world_size) == (rank, processes or asked)


def test_script_of_the_page_is_a_script():
    (script,) = re.findall(r"```sbatch\n(.*?)```", PAGE, flags=re.DOTALL)
    assert script.startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert len(COMMANDS) == 12
