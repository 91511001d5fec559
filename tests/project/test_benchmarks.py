"""Every script in benchmarks/, and docs/pictures.py, is started at its smallest size, and writes nothing over what is
stored; the bare loop beside which Lightning is timed trains what Lightning trains."""

import importlib
import json
import logging
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from support.paths import ROOT

from abele_py.training.modules import AutoencoderModule
from benchmarks import training_speed

SCRIPTS = [*sorted((ROOT / "benchmarks").glob("*.py")), ROOT / "docs" / "pictures.py"]


class Smallest(NamedTuple):
    """The smallest run of a script.

    Args:
        arguments: its arguments; ``OUT`` is a new folder.
        written: files in that folder, of many the first ones.
        slow: does it take more than two seconds?
    """

    arguments: str
    written: tuple[str, ...] = ()
    slow: bool = True


SMALLEST = {
    "app": Smallest("--images 7"),
    "captum_speed": Smallest(
        "--autoencoder digits --classifier digits-cnn --data digits:test --images 1 --batches [256] "
        "--out OUT/captum.json",
        ("captum.json",),
    ),
    "audit": Smallest("boxes --sets [digits] --every 25 --out OUT/audit.jsonl", ("audit.jsonl",)),
    "audit_page": Smallest("--out OUT", ("docs/audit.md",), slow=False),
    "data_sets": Smallest("--out OUT", ("docs/data-sets.md",), slow=False),
    "explain_dataset": Smallest("--parts [memory] --few 8 --rows [64,128] --out OUT/dataset.json", ("dataset.json",)),
    "explain_many_speed": Smallest(
        "--autoencoder digits --classifier digits-cnn --data digits:test --images 1 --long 10 "
        "--processes_at_once [1] --setup 1 "
        "--out OUT/many.json",
        ("many.json",),
    ),
    "explain_speed": Smallest(
        "--autoencoder digits --classifier digits-cnn --data digits:test --images 1 --sides [28] --synthetic_images 1 "
        "--out OUT/speed.json",
        ("speed.json",),
    ),
    "golden": Smallest("make OUT --parts smallest", ("golden.json",)),
    "memory_format": Smallest(
        "--classifiers ['digits-cnn'] --images 16 --turns 1 --out OUT/memory.json", ("memory.json",), slow=False
    ),
    "mixture": Smallest(
        "--autoencoder digits --classifier digits-cnn --images 100 --out OUT", ("mixture-digits.json",)
    ),
    "model_cards": Smallest("--out OUT", ("digits/MODEL_CARD.md", "mnist-cnn/MODEL_CARD.md"), slow=False),
    "models_table": Smallest("--out OUT", ("README.md", "digits-cnn.yaml"), slow=False),
    "mutation": Smallest("draw --n 7", ("mutants.json",)),
    "own_images": Smallest(
        "shapes --images 1 --second false --place OUT/place --out OUT/own.json --options "
        '["--trainer.max_epochs=1","--data.min_steps=2","--data.size=16","--autoencoder.model.latent_dim=4"]',
        ("own.json",),
    ),
    "own_images_page": Smallest("--out OUT", ("docs/own-images.md",), slow=False),
    "page": Smallest("--out OUT --reports digits-forest", ("README.md", "docs/results.md")),
    "pictures": Smallest("--out OUT", ("overview.png", "saliency.png")),
    "quality": Smallest(
        "digits-cnn small --autoencoder digits --data digits:val --images 1 --out OUT", ("small.json", "small.jsonl")
    ),
    "refinement": Smallest(
        "--autoencoders [digits] --classifiers [digits-cnn] --steps [1] --images 1 --out OUT",
        ("refinement-digits.json",),
    ),
    "samples": Smallest("digits-cnn digits --samples [200] --images 1 --out OUT", ("samples-digits-cnn.json",)),
    "startup": Smallest("--runs 1 --out OUT/startup.json", ("startup.json",)),
    "summary_memory": Smallest("--rows [100] --contents 2 --out OUT/memory.json", ("memory.json",)),
    "sweep": Smallest(
        "--data_sets [digits] --sizes [2] --epochs 1 --images 1 --out OUT --networks OUT/networks",
        ("digits-k2-w0.002.json", "networks/digits-k2-w0.002.safetensors"),
    ),
    "sweep_page": Smallest("--out OUT", ("docs/latent-space.md", "docs/latent-space.png")),
    "table": Smallest("--out OUT", ("README.md", "docs/results.md"), slow=False),
    "training_speed": Smallest(
        "--recipe digits-autoencoder --limit 130 --epochs 1 --turns 1 --out OUT/speed.json", ("speed.json",)
    ),
}
# scripts that write what the repository holds: where their files stand there
GENERATED = {
    **dict.fromkeys(("audit_page", "data_sets", "own_images_page", "page", "sweep_page", "table"), ""),
    "model_cards": "checkpoints",
    "models_table": "training",
}


@pytest.fixture
def same_process():
    """Undoes what a script sets for its own process."""
    threads, logger = torch.get_num_threads(), logging.getLogger("pytorch_lightning")
    level = logger.level
    yield
    torch.set_num_threads(threads)
    logger.setLevel(level)


def stored() -> dict[Path, int]:
    """When each file that a script writes without ``--out`` was last written."""
    folders = "benchmarks", "checkpoints", "docs", "training"
    files = [ROOT / "README.md", *(path for name in folders for path in (ROOT / name).rglob("*.*"))]
    return {path: path.stat().st_mtime_ns for path in files if path.is_file() and "__pycache__" not in path.parts}


def check_browser():
    pytest.importorskip("gradio", reason="the extra [app] is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    named = os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    with playwright.sync_playwright() as started:
        if not any(named) and not Path(started.chromium.executable_path).exists():
            pytest.skip("no browser: install chromium, or name one in CHROMIUM")


CONTEXT_OF = multiprocessing.get_context


def forked(_method: str):
    """Processes of their own, as `spawn` gives them, but forked from one that has imported what they need."""
    context = CONTEXT_OF("forkserver")
    rooms = "explanation.explainer", "models.adversarial", "models.classifiers", "datasets.loading"
    context.set_forkserver_preload(["torch", "jsonargparse", *(f"abele_py.{room}" for room in rooms)])
    return context


def smallest(script: Path):
    slow = SMALLEST[script.stem].slow if script.stem in SMALLEST else False
    return pytest.param(script, id=script.stem, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("script", [*map(smallest, SCRIPTS)])
def test_a_script_runs_at_its_smallest_size(script, tmp_path, monkeypatch, request, same_process):
    assert script.stem in SMALLEST, f"say in SMALLEST how {script.name} is run at its smallest size"
    if script.stem == "app":
        check_browser()
        monkeypatch.setattr("sys.executable", str(request.getfixturevalue("python")))
    run, before = SMALLEST[script.stem], stored()
    module = importlib.import_module(".".join(script.relative_to(ROOT).with_suffix("").parts))
    if script.stem == "mutation":
        monkeypatch.setattr(module, "ROOT", ROOT)
        monkeypatch.setattr(module, "MUTANTS", tmp_path / "mutants.json")
    if script.stem in ("explain_many_speed", "explain_speed"):
        monkeypatch.setattr("multiprocessing.get_context", forked)
        monkeypatch.setattr(module, "get_context", forked, raising=False)
    if script.stem == "startup":  # no bar is set for it
        monkeypatch.delitem(module.STARTS, "from abele_py import Abele, load_autoencoder")
    if script.stem == "pictures":  # the first of them is drawn for other pages, too
        request.getfixturevalue("blank_figures")
    monkeypatch.chdir(tmp_path)
    assert not module.main(run.arguments.replace("OUT", str(tmp_path)).split())
    for name in run.written:
        assert (tmp_path / name).stat().st_size > 0
        if name.endswith(".json"):
            assert json.loads((tmp_path / name).read_text(encoding="utf-8"))
    assert stored() == before
    if script.stem in GENERATED:
        check_fresh(tmp_path, ROOT / GENERATED[script.stem])


def check_fresh(out: Path, folder: Path):
    """A page that is written anew is the one that is there; plots and reports, which git ignores, are left out."""
    pages = [path.relative_to(out) for suffix in ("md", "yaml") for path in out.rglob(f"*.{suffix}")]
    pages = [path for path in pages if path.name != "table.md"]
    assert pages
    for path in pages:
        assert (out / path).read_bytes() == (folder / path).read_bytes(), "run: make page"


def test_make_page_starts_every_script_that_writes_pages():
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\npage:")[2].partition("\n\n")[0].splitlines()
    assert sorted(line.rpartition("/")[2] for line in lines[1:]) == sorted(f"{name}.py" for name in GENERATED)


def test_a_mutant_changes_one_statement_of_the_file_that_holds_it(monkeypatch):
    mutation = importlib.import_module("benchmarks.mutation")
    monkeypatch.setattr(mutation, "ROOT", ROOT)
    (mutant,) = mutation.draw(1, seed=0)
    path, tree = mutation.applied(mutant)
    before = mutation.ast.unparse(mutation.ast.parse(path.read_text(encoding="utf-8"))).splitlines()
    after = mutation.ast.unparse(tree).splitlines()
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert mutation.applied(mutant | {"statement": "no such"}) is None


@pytest.mark.parametrize(
    ("n_labels", "label", "direction", "right"),
    [
        (10, 1, "", True), (10, 2, "", False), (10, 1, "lighter", True), (10, 1, "darker", False),
        (10, 2, "darker", False), (2, 1, "", True), (2, 0, "", False), (2, 1, "darker", False), (2, 0, "darker", True),
        (2, 0, "lighter", False), (10, None, "", False),
    ],
)  # fmt: skip
def test_an_audit_is_right_where_label_and_direction_are(n_labels, label, direction, right):
    page = importlib.import_module("benchmarks.audit_page")
    suspicions = [] if label is None else [{"label": label, "direction": direction}]
    assert page.is_right({"target": 1, "n_labels": n_labels, "audits": [{"suspicions": suspicions}]}) == right


# Lightning beside the bare loop


def test_the_page_says_what_was_measured_of_lightning():
    found = json.loads(training_speed.OUT.read_text(encoding="utf-8"))
    page = " ".join((ROOT / "docs" / "training.md").read_text(encoding="utf-8").split())
    assert f": {found['overhead_of_processor_time']:.2f} times the loop's processor time" in page
    assert f"with {found['limit']:,} images of MNIST" in page
    assert (found["recipe"], len(found["processor_seconds"]["bare"])) == ("mnist-autoencoder", 6)


ALL_LOSSES = ("edge_weight=1", "mmd_weight=0.01", "label_weight=0.1", "consistency_weight=0.1", "shift=0.05")


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(), ALL_LOSSES], ids=["digits", "all-losses"])
def test_the_bare_loop_trains_what_lightning_trains(weights, monkeypatch, same_process):
    losses = []

    def recorded(module, batch, _losses=AutoencoderModule.losses):
        found = _losses(module, batch)
        losses.append(float(found[0].detach()))
        return found

    monkeypatch.setattr(AutoencoderModule, "losses", recorded)
    arguments = ["--recipe=digits-autoencoder", "--limit=200", "--epochs=1"]
    options = training_speed.parser().parse_args([*arguments, *(f"--option=--model.{weight}" for weight in weights)])
    (seconds, trained), (bare_seconds, bare) = training_speed.with_lightning(options), training_speed.bare(options)
    assert len(seconds) == len(bare_seconds) == 1  # two epochs, of which the first is not counted
    assert len(losses) == 2 * 2 * (200 // 64)
    assert losses[: len(losses) // 2] == losses[len(losses) // 2 :]
    for (name, weight), (_, other) in zip(trained.state_dict().items(), bare.state_dict().items(), strict=True):
        assert weight.equal(other), name
    assert (bare.labels is not None) == bool(weights)  # the options have reached the module
