"""What the documents show works: every notebook runs, README's Python and commands run, its tables are fresh."""

import importlib.util
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image
from real_data import data_dir_of

from abele_py.cli import main
from abele_py.datasets import load_split
from abele_py.measurements import PARTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.strip()]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in data for data in shown), "a notebook shows pictures"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_without_output(path):
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python"), ids=lambda b: b.splitlines()[0][:40])
def test_readme_python_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


def opens_and_ends(arguments):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "abele_py.cli", *arguments, "--no-browser", f"--port={port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                assert answer.status == 200
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("abele ")])
def test_readme_command_runs(command, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "training", tmp_path / "training")
    monkeypatch.chdir(tmp_path)
    if "mnist:" in command:
        monkeypatch.setenv("ABELE_DATA_DIR", str(data_dir_of("mnist")))
    arguments = shlex.split(command)[1:]
    if arguments[0] == "app":  # it runs until it is ended
        opens_and_ends(arguments)
        return
    if arguments[0] == "train":  # the real recipe, two steps
        arguments += ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    if "my_images/" in command:
        digits = load_split("digits", "train")
        for number, (image, label) in enumerate(zip(digits.images[:300], digits.labels, strict=False)):
            (tmp_path / "my_images" / str(int(label))).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(tmp_path / "my_images" / str(int(label)) / f"{number}.png")
    if arguments[0] == "evaluate":  # the same on two images
        arguments[1] = arguments[1].rpartition(":")[0] + ":2"
        arguments += ["--costly-images=1", "--parts=surrogate,saliency,stability"]
    assert main(arguments) == 0


def test_readme_shows_the_two_commands_first():
    assert [c for c in commands() if c.startswith("make")][:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo: .*\n\t.*abele demo$", makefile, flags=re.MULTILINE)
    assert re.search(r"^test: .*\n\t.*pytest -n auto --dist loadfile$", makefile, flags=re.MULTILINE)


def test_readme_commands_are_all_tried():
    known = ("abele ", "make ", "pip install", "pytest", "git clone", "cd ", "python benchmarks/")
    assert [c for c in commands() if not c.startswith(known)] == []


@cache
def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_of_results_is_fresh():
    assert benchmark("table").with_table(README) == README, "run: python benchmarks/table.py"


@pytest.mark.parametrize("path", benchmark("page").PAGES, ids=lambda p: p.name)
def test_figures_of_a_page_are_those_measured(path):
    text = path.read_text(encoding="utf-8")
    assert "<!-- figure: " in text
    assert benchmark("page").fresh(text) == text, "run: python benchmarks/page.py"


# Run -> parts without measurements, and images of those that stopped early. What is measured belongs out of here;
# docs/results.md says the same in words.
MISSING = {
    "mnist-forest": {"saliency", "coherence", "stability"},
    "fashion-mnist-cnn": {"sanity"},
    "fashion-mnist-forest": {"saliency", "coherence", "stability"},
}
STOPPED = {
    ("mnist-forest", "counter-exemplars"): 100,
    ("mnist-forest", "exemplars"): 40,
    ("fashion-mnist-cnn", "counter-exemplars"): 100,
    ("fashion-mnist-cnn", "exemplars"): 40,
    ("fashion-mnist-cnn", "stability"): 3,
    ("fashion-mnist-forest", "counter-exemplars"): 100,
    ("fashion-mnist-forest", "exemplars"): 40,
}


def test_evaluations_are_stored_whole_but_for_what_is_named():
    summaries = benchmark("page").summaries()
    assert set(summaries) == {"digits-cnn", "digits-forest", "mnist-cnn", *MISSING}
    for name, summary in summaries.items():
        run, numbers = summary["run"], {}
        for row in summary["rows"]:
            numbers[row["part"]] = max(row["n"], numbers.get(row["part"], 0))
        missing = MISSING.get(name, set()) | run["left_out"]["parts"].keys()
        if name.endswith("forest"):
            missing = missing | {"sanity"}  # a forest has no weights
        sizes = dict.fromkeys(("stability", "sanity"), run["n_costly"]) | {"autoencoder": 1}
        sizes |= dict.fromkeys(("saliency", "coherence"), run["n_maps"])
        assert set(numbers) == set(PARTS) - missing
        for part, n in numbers.items():
            assert n == STOPPED.get((name, part), sizes.get(part, run["n_images"])), (name, part)
        if "saliency" in numbers and (name, "saliency") not in STOPPED:
            assert set(summary["curves"]) == set(run["methods"]) - set(run["left_out"]["methods"])


def test_links_to_files_of_the_project_lead_somewhere():
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "training" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
