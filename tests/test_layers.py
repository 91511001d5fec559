"""The package's shape: who may import whom, how light the first import is, and what no file may contain."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "abele_py"
FILES = sorted(PACKAGE.glob("**/*.py"))
# A file imports only from strictly lower levels. `__init__.py` is the face of the package and has no level.
LEVELS = {
    "errors": 0,
    "markup": 0,
    "padding": 0,
    "trees": 0,
    "anchor": 1,
    "black_box_http": 1,
    "black_box_pixels": 1,
    "black_box_skops": 1,
    "drawings": 1,
    "class_autoencoders": 1,
    "images": 1,
    "sketches": 2,
    "linear_machine": 1,
    "losses": 1,
    "metrics": 1,
    "prepared": 1,
    "mixture": 1,
    "readers": 1,
    "rules": 1,
    "saliency": 1,
    "autoencoder": 2,
    "black_box": 2,
    "black_box_onnx": 2,
    "black_box_pt2": 2,
    "classifiers": 2,
    "datasets": 2,
    "metrics_autoencoder": 2,
    "metrics_exemplars": 2,
    "own_sources": 2,
    "surrogate": 2,
    "checkpoints": 3,
    "words": 3,
    "gradients": 3,
    "latent_space": 3,
    "lore": 3,
    "own_images": 3,
    "metrics_counter_exemplars": 3,
    "metrics_saliency": 3,
    "black_boxes": 4,
    "counter_exemplars": 4,
    "traversals": 4,
    "walks": 4,
    "exemplars": 4,
    "metrics_surrogate": 4,
    "neighborhood": 4,
    "plots": 4,
    "results": 4,
    "perturbation": 4,
    "pictures": 4,
    "superpixels": 4,
    "trust": 5,
    "page": 5,
    "cards": 5,
    "explanation": 6,
    "data_module": 5,
    "latent_labels": 6,
    "lightning": 7,
    "explainer": 7,
    "pages": 7,
    "sanity": 7,
    "finishing": 7,
    "runs": 7,
    "training": 8,
    "attribution": 8,
    "figures": 8,
    "comparison": 9,
    "own_training": 9,
    "studio": 10,
    "panels": 11,
    "app": 12,
    "subject": 10,
    "measurements": 11,
    "evaluation": 14,
    "report_plots": 12,
    "tables": 11,
    "report": 13,
    "options": 12,
    "cli": 15,
}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree: ast.Module) -> set[str]:
    """Modules of this package that a file imports anywhere, but for ``if TYPE_CHECKING:``."""
    found: set[str] = set()
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            nodes += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "abele_py":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("abele_py.")}
        nodes += ast.iter_child_nodes(node)
    return found


def test_every_file_has_a_place_and_every_place_a_file():
    names = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in FILES}
    assert names - {"__init__", "__main__"} == set(LEVELS)


@pytest.mark.parametrize("name", LEVELS)
def test_a_file_imports_only_from_lower_levels(name):
    wrong = {
        other: LEVELS.get(other, "none")
        for other in imports_of(tree_of(PACKAGE / f"{name}.py"))
        if other not in LEVELS or LEVELS[other] >= LEVELS[name]
    }
    assert not wrong, f"{name} is on level {LEVELS[name]} and imports {wrong}"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from .rules import Rule", {"rules"}),
        ("from . import rules, trees", {"rules", "trees"}),
        ("import abele_py.rules", {"rules"}),
        ("from abele_py.rules import Rule", {"rules"}),
        ("from abele_py import rules", {"rules"}),
        ("def f():\n    from .rules import Rule", {"rules"}),
        ("if TYPE_CHECKING:\n    from .rules import Rule\nelse:\n    from .trees import Trees", {"trees"}),
        ("import numpy\nfrom torch import nn", set()),
    ],
)
def test_the_reader_of_imports_finds_every_form(source, found):
    assert imports_of(ast.parse(source)) == found


def test_import_is_light():
    heavy = ["pytorch_lightning", "lightning", "torchvision", "torchmetrics", "tensorboard"]
    heavy += ["captum", "skimage", "matplotlib", "gradio", "onnxruntime", "skops"]
    code = f"import sys, json, abele_py; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_short_and_says_what_it_is_for(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
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
                assert path.stem in ("lightning", "training"), where  # training owns its process, explaining does not
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, where
        if isinstance(node, ast.Assert):
            assert "noqa: S101 - " in lines[node.lineno - 1], where
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {a.name for a in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}, where
