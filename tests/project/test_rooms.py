"""The house: which room may import from which, how light the first import is, and what no file may contain."""

import ast
import importlib
import json
import re
import subprocess
import sys
import warnings
from collections import defaultdict
from graphlib import TopologicalSorter

import pytest
from support.paths import ROOT

import abele_py
from abele_py.moved import MOVED

PACKAGE = ROOT / "abele_py"
FILES = sorted(PACKAGE.glob("**/*.py"))
TESTS = sorted((ROOT / "tests").glob("**/*.py"))
# A folder imports from folders of lower ranks; "" are the modules beside them. `cli`, at the top, is what users call.
RANKS = {
    "": 0,
    "checking": 1,
    "storage": 1,
    "surrogate": 2,
    "datasets": 2,
    "models": 3,
    "black_boxes": 4,
    "latent": 5,
    "explanation": 6,
    "attribution": 7,
    "metrics": 8,
    "distributed": 9,
    "views": 10,
    "training": 10,
    "evaluation": 11,
    "app": 11,
    "cli": 12,
}
# The records can show themselves: their methods import what draws them, when they are called.
LATE = {("explanation.explanation", "views"), ("attribution.comparison", "views")}
FACES = {"__init__", "__main__"}  # of the package: they show what is inside


def module_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {module_of(path): path for path in FILES if path.parent != PACKAGE or path.stem not in FACES}


def folder_of(module):
    return module.rpartition(".")[0]


def imports_of(tree, module):
    """Modules of this package that a file imports, and whether at its top; ``if TYPE_CHECKING:`` does not count."""
    found = []
    nodes = [(node, True) for node in tree.body]
    while nodes:
        node, top = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            nodes += [(n, top) for n in node.orelse]
            continue
        names = []
        if isinstance(node, ast.ImportFrom):
            base = "" if not node.level else "abele_py." + ".".join(module.split(".")[: -node.level])
            whole = ".".join(part for part in (base.rstrip("."), node.module) if part)
            names = [f"{whole}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "abele_py":
                inside = [".".join(parts[1:end]) for end in range(len(parts), 1, -1)]
                found.append((next((name for name in inside if name in MODULES), ".".join(parts[1:])), top))
        inner = top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        nodes += [(n, inner) for n in ast.iter_child_nodes(node)]
    return found


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_folder_has_a_rank_and_every_rank_a_folder():
    assert {folder_of(module) for module in MODULES} == set(RANKS)


def test_contributing_shows_the_rooms_from_top_to_bottom_and_says_what_each_is_for():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = page.partition("```text\n")[2].partition("```")[0]
    shown = [name for line in picture.splitlines() for name in line[:40].split() if name in RANKS]
    assert sorted(shown) == sorted(folder for folder in RANKS if folder)
    assert [RANKS[name] for name in shown] == sorted((RANKS[name] for name in shown), reverse=True)
    assert set(re.findall(r"^\| `(\w+)/` \| \w", page, flags=re.MULTILINE)) - {"abele_py"} == set(RANKS) - {""}


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_from_lower_folders_and_its_own(module):
    folder = folder_of(module)
    for other, top in imports_of(tree_of(MODULES[module]), module):
        assert other in MODULES, f"{module} imports {other}: name the module, not the folder"
        low = folder_of(other)
        late = not top and (module, low) in LATE
        assert low == folder or RANKS[low] < RANKS[folder] or late, f"{module} imports {other}"


def test_no_late_import_is_allowed_that_is_not_there():
    late = {
        (module, folder_of(other))
        for module, path in MODULES.items()
        for other, top in imports_of(tree_of(path), module)
        if not top and RANKS[folder_of(other)] >= RANKS[folder_of(module)] and folder_of(other) != folder_of(module)
    }
    assert late == LATE


@pytest.mark.parametrize("folder", RANKS)
def test_inside_a_folder_there_are_no_circles(folder):
    graph = defaultdict(set)
    for module in (m for m in MODULES if folder_of(m) == folder):
        graph[module] |= {
            other for other, _ in imports_of(tree_of(MODULES[module]), module) if folder_of(other) == folder
        }
    list(TopologicalSorter(graph).static_order())  # raises a CycleError that names the circle


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from ..surrogate.rules import Rule", [("surrogate.rules", True)]),
        ("from ..surrogate import rules, tree", [("surrogate.rules", True), ("surrogate.tree", True)]),
        ("from . import space", [("latent.space", True)]),
        ("from .space import Points", [("latent.space", True)]),
        ("import abele_py.surrogate.rules", [("surrogate.rules", True)]),
        ("from abele_py.surrogate import Rule", [("surrogate.Rule", True)]),
        ("from ..errors import AbeleError", [("errors", True)]),
        ("class A:\n    from .space import Points", [("latent.space", True)]),
        ("def f():\n    from .space import Points", [("latent.space", False)]),
        ("if TYPE_CHECKING:\n    from .space import Points\nelse:\n    from ..trees import Trees", [("trees", True)]),
        ("import numpy\nfrom torch import nn", []),
    ],
)
def test_the_reader_of_imports_finds_every_form(source, found):
    assert sorted(imports_of(ast.parse(source), "latent.neighborhood")) == found


@pytest.mark.parametrize("folder", RANKS)
def test_every_name_that_a_folder_shows_is_there(folder):
    shown = importlib.import_module(f"abele_py.{folder}".rstrip("."))
    assert shown.__all__
    assert all(getattr(shown, name) is not None for name in shown.__all__)
    assert set(shown.__all__) <= set(dir(shown))
    with pytest.raises(AttributeError, match="no_such_name"):
        shown.no_such_name  # noqa: B018


# What the documents of abele_py 0.1 named, by module; those of folders that kept their module's name are among them.
DOCUMENTED = {
    "attribution": "METHODS Method families methods_of",
    "black_box": "Answer as_function probabilities",
    "black_box_http": "HttpClassifier",
    "black_box_onnx": "OnnxClassifier",
    "black_box_pixels": "Pixels",
    "black_box_pt2": "ExportedClassifier",
    "black_box_skops": "load_skops",
    "black_boxes": "LoadedBlackBox",
    "checkpoints": "Manifest list_checkpoints read_manifest",
    "counter_exemplars": "CounterExemplars convincing find_counter_exemplars morph rule_candidates starting_points",
    "data_module": "ImageData",
    "datasets": "DATASETS Dataset ImageSet dataset_of load_split to_unit",
    "errors": "AbeleError ParameterError",
    "evaluation": "evaluate",
    "explanation": "Explanation",
    "latent_space": "LatentSpace Points local_radius",
    "lightning": "AutoencoderModule ClassifierModule ForestModule",
    "linear_machine": "linear_machine",
    "metrics": "Metric metric metric_of",
    "mixture": "Mixture fit_mixture",
    "neighborhood": "Between FromMixture Genetic Hybrid Local Neighborhood Random STRATEGIES Strategy generate "
    "kernel_weights",
    "own_images": "import_images",
    "plots": "plot_explanation",
    "prepared": "OwnImages read_own_images",
    "rules": "Condition CounterfactualRule Rule",
    "saliency": "mosaic_map",
    "sanity": "cascade exemplar_overlap rank_correlation rule_overlap structural_similarity",
    "surrogate": "Fidelity Surrogate counterfactual_rules fit_surrogate rule_of",
    "training": "train",
    "traversals": "Traversals traverse",
    "trees": "Trees",
    "trust": "Note Trust notes_on",
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_path_still_leads_to_its_names(name):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sys.modules.pop(f"abele_py.{name}", None) if name in MOVED else None
        old = importlib.import_module(f"abele_py.{name}")
    assert all(hasattr(old, symbol) for symbol in DOCUMENTED[name].split())
    assert [warning.category for warning in told] == [DeprecationWarning] * (name in MOVED)
    with pytest.raises(AttributeError):
        old.no_such_name  # noqa: B018


def test_moved_names_are_where_the_table_says_and_other_modules_are_not_found():
    places = {place for places in MOVED.values() for place in places}
    assert places <= set(MODULES)
    assert not set(MOVED) & set(MODULES)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("abele_py.no_such_module")


HEAVY = ["torch", "numpy", "scipy", "sklearn", "pandas", "matplotlib", "pytorch_lightning", "torchvision"]
EXTRAS = ["torchmetrics", "tensorboard", "captum", "skimage", "gradio", "onnxruntime", "skops", "PIL", "jsonargparse"]


def loaded_by(code):
    """Which of the heavy libraries a fresh process loads."""
    asked = f"{code}\nimport sys, json; sys.stderr.write(json.dumps([m for m in {HEAVY + EXTRAS} if m in sys.modules]))"
    return json.loads(subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stderr)


def test_the_first_import_loads_no_library():
    assert loaded_by("import abele_py") == []


@pytest.mark.slow
def test_a_name_loads_what_it_needs_and_no_more():
    found = loaded_by("from abele_py import Abele, load_autoencoder, load_black_box, load_image")
    assert set(found) <= {"torch", "numpy", "scipy", "PIL"}


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["explain", "--help"], ["train", "--help"]])
def test_a_command_that_computes_nothing_loads_no_library(arguments):
    code = (
        "from contextlib import redirect_stdout, suppress; import os; from abele_py.cli.commands import main\n"
        f"with suppress(SystemExit), redirect_stdout(open(os.devnull, 'w')): assert main({arguments}) == 0\n"
    )
    assert not set(HEAVY) & set(loaded_by(code))


def test_the_whole_package_shows_what_it_showed():
    assert {"Abele", "Explanation", "compare", "load_autoencoder", "load_black_box", "write_pages"} <= set(
        abele_py.__all__
    )


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_short_and_says_what_it_is_for(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_print_no_bare_except_no_assert_without_reason_no_code_from_files(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree_of(path)):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert called not in ("print", "eval", "exec"), where
            if called == "np.load":
                assert options.get("allow_pickle") == "False", where
            if called == "torch.load":  # the checkpoints that Lightning itself writes while training
                assert options.get("weights_only") == "True", where
            if called in ("torch.manual_seed", "np.random.seed", "random.seed"):
                assert module_of(path) in ("training.callbacks", "training.recipe"), (
                    where
                )  # training owns its process, explaining does not
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, where
        if isinstance(node, ast.Assert):
            assert "noqa: S101 - " in lines[node.lineno - 1], where
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {a.name for a in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}, where
