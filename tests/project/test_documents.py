"""What the documents show is so: every notebook runs, tables and figures are fresh, links lead somewhere."""

import importlib
import re
import warnings

import nbformat
import pytest
from nbclient import NotebookClient
from support.paths import ROOT
from support.real_data import data_dir_of

from abele_py.evaluation.parts import PARTS

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDED = {"06_auditing_a_medical_classifier": "pneumoniamnist"}  # data sets that do not come with a library

# Figures are drawn once: to cut off their margins each is drawn twice.
ONCE = "%config InlineBackend.print_figure_kwargs = {'bbox_inches': None}"


@pytest.fixture(scope="module")
def kernel():
    """One process for all notebooks, which imports the libraries once."""
    owner = NotebookClient(nbformat.v4.new_notebook())
    with owner.setup_kernel():
        yield owner.km


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path, kernel, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    environment = {"ABELE_SMALL": "1"}
    if path.stem in NEEDED:
        environment["ABELE_DATA_DIR"] = str(data_dir_of(NEEDED[path.stem]))
    alone = f"%reset -f\nimport os\nos.chdir({str(tmp_path)!r})\nos.environ.update({environment})\ndel os\n{ONCE}"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(alone))
    NotebookClient(notebook, timeout=300, km=kernel).execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in data for data in shown), "a notebook shows pictures"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_without_output(path):
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)


def test_the_index_of_notebooks_is_whole():
    index = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[.*?\]\((.*?)\)", index, flags=re.MULTILINE) == [path.name for path in NOTEBOOKS] != []


def benchmark(name):
    return importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("path", benchmark("table").PAGES, ids=lambda p: p.name)
def test_table_of_results_is_fresh(path):
    assert benchmark("table").with_table(path) == path.read_text(encoding="utf-8"), "run: python benchmarks/table.py"


@pytest.mark.slow
@pytest.mark.parametrize("path", benchmark("page").PAGES, ids=lambda p: p.name)
def test_figures_of_a_page_are_those_measured(path):
    text = path.read_text(encoding="utf-8")
    assert re.search("<!-- figure%?: ", text)
    assert benchmark("page").fresh(text) == text, "run: python benchmarks/page.py"


@pytest.mark.slow
def test_evaluations_are_stored_whole():
    summaries = benchmark("page").summaries()
    assert set(summaries) == {
        f"{data}-{kind}" for data in ("digits", "mnist", "fashion-mnist") for kind in ("cnn", "forest")
    }
    for name, summary in summaries.items():
        run, folder = summary["run"], ROOT / "benchmarks" / "evaluation" / name
        numbers = {path.stem: len(path.read_text().splitlines()) for path in folder.glob("*.jsonl")}
        missing = {"sanity"} if name.endswith("forest") else set()  # a forest has no weights
        sizes = dict.fromkeys(("stability", "sanity"), run["n_costly"]) | {"autoencoder": 1}
        sizes |= dict.fromkeys(("saliency", "coherence"), run["n_maps"])
        assert set(numbers) == set(PARTS) - missing
        for part, n in numbers.items():
            assert n == sizes.get(part, run["n_images"]), (name, part)
        assert set(summary["curves"]) == set(run["methods"]) - set(run["left_out"]["methods"])


def words_of(page):
    """The text of a page; of a notebook its Markdown."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "markdown")


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "training" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "notebooks" / "README.md",
    *NOTEBOOKS,
]


def test_links_to_files_of_the_project_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", words_of(page)):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


NAMING = [*PAGES, *sorted((ROOT / "docs" / "api").glob("*.md")), *sorted((ROOT / "training").glob("*.yaml"))]


def resolved(name):
    """What a dotted name of the package stands for: its longest importable front, then attributes."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if error.name != ".".join(parts[:end]):  # a library is missing, not the module
                raise
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"there is no {name}")


@pytest.mark.parametrize("page", NAMING, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_names_and_files_of_the_package_in_a_document_are_there(page):
    """By the names of today: the old ones still lead to the new, with a warning, which is an error here."""
    text = page.read_text(encoding="utf-8")
    names = set(re.findall(r"\babele_py(?:\.[A-Za-z_]\w*)+", text))
    for imported, together in re.findall(r"\bfrom (abele_py[\w.]*) import ([\w, ]+)", text):
        names |= {f"{imported}.{name.split(' as ')[0].strip()}" for name in together.split(",")}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for name in names:
            resolved(name)
    for path in re.findall(r"\b(?:abele_py|benchmarks|tests)/[\w/-]+\.(?:py|css|js|jsonl?)\b", text):
        assert (ROOT / path).exists(), path
