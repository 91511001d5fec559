"""The ``abele`` command: results where it says they are, and one clear line for every mistake of its user."""

import json
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import FEW, PAIR
from support.results import content

from abele_py import Comparison, Explanation
from abele_py.attribution.registry import families
from abele_py.black_boxes import preprocessing
from abele_py.cli.commands import main
from abele_py.cli.options import NEIGHBORHOODS, ORDERS
from abele_py.evaluation.parts import PARTS
from abele_py.latent.neighborhood import STRATEGIES


@pytest.fixture
def pictures(here, digit_images):
    """Test image 7 of the digits as a PNG and as an array."""
    pixels = (digit_images[7, 0] * 255).round().byte().numpy()
    Image.fromarray(pixels).save("seven.png")
    np.save("seven.npy", pixels)
    return here


def written(folder: Path, name: str, *more: str) -> Explanation:
    """The explanation in a folder, after a look at the files beside it."""
    explanation = Explanation.load(folder / f"{name}-explanation.npz")
    assert Explanation.from_json((folder / f"{name}-explanation.json").read_text()).to_json() == explanation.to_json()
    with Image.open(folder / f"{name}-explanation.png") as figure:
        assert min(figure.size) > 500
    expected = [*(f"{name}-explanation{suffix}" for suffix in (".json", ".npz", ".png")), *more]
    assert sorted(p.name for p in folder.iterdir()) == sorted(expected)
    return explanation


def test_a_digit_of_the_data_set(here, capsys, blank_figures):
    assert main(["explain", "digits:test:7", *PAIR, *FEW]) == 0
    out, err = capsys.readouterr()
    explanation = written(here / "abele_out", "digits-test-7")
    assert str(explanation).splitlines()[0] in out
    assert str(Path("abele_out") / "digits-test-7-explanation.png") in out
    assert "abele:" not in err
    assert explanation.class_names == tuple("0123456789")


@pytest.mark.slow
def test_a_page_if_asked_for(here, capsys, blank_figures):
    assert main(["explain", "digits:test:7", *PAIR, *FEW, "--html"]) == 0
    explanation = written(here / "abele_out", "digits-test-7", "digits-test-7-explanation.html")
    page = here / "abele_out" / "digits-test-7-explanation.html"
    assert page.read_text(encoding="utf-8") == explanation.to_html(title="digits-test-7")
    assert f"  page: {Path('abele_out') / page.name}" in capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_several_images_are_explained_under_different_names_with_an_index(pictures, capsys, blank_figures):
    arguments = ["explain", "seven.png", "digits:test:8", "seven.npy", *PAIR, *FEW]
    assert main([*arguments, "--html", "--out", "with"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if not line.startswith(" ")] == [
        "seven:", "digits-test-8:", "seven-2:", f"index: {Path('with') / 'index.html'}",
    ]  # fmt: skip
    for name in ("seven", "digits-test-8", "seven-2"):
        assert f'href="{name}-explanation.html"' in Path("with/index.html").read_text(encoding="utf-8")
    assert len(list(Path("with").iterdir())) == 3 * 4 + 1
    first, second = (Explanation.load(f"with/{name}-explanation.npz") for name in ("seven", "seven-2"))
    assert content(first) == content(second)


def test_a_missing_picture_among_several_is_said_before_anything_is_explained(here, capsys):
    assert main(["explain", "digits:test:7", "nowhere.png", *PAIR, *FEW, "--html"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nowhere.png" in err
    assert not Path("abele_out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seven.png", "seven.npy"])
def test_a_file_is_explained_as_the_same_image_of_the_data_set(
    pictures, capsys, name, digit_explanation, blank_figures
):
    assert main(["explain", name, *PAIR, *FEW, "--out", "results/new"]) == 0
    explanation = written(pictures / "results" / "new", "seven")
    assert explanation.image.equal(digit_explanation.image)
    assert explanation.label == digit_explanation.label


@pytest.mark.slow
def test_a_target_by_number(here, digit_explanation, blank_figures):
    target = next(y for y in range(10) if y != digit_explanation.label)
    assert main(["explain", "digits:test:7", *PAIR, *FEW, "--target", str(target), "--seed", "3"]) == 0
    explanation = written(here / "abele_out", "digits-test-7")
    assert set(explanation.counter_exemplars.labels.tolist()) <= {target}
    assert explanation.params["random_state"] == 3


def test_a_function_beside_the_image_is_a_black_box(pictures, blank_figures):
    (pictures / "mymodel.py").write_text("def dark(images):\n    return (images.mean(dim=(1, 2, 3)) > 0.3).long()\n")
    path = list(sys.path)
    arguments = ["explain", "seven.png", "--autoencoder", "digits", "--black-box", "mymodel:dark", *FEW]
    assert main([*arguments, "--preset", "paper"]) == 0
    assert sys.path == path
    explanation = written(pictures / "abele_out", "seven")
    assert explanation.scores is None
    assert explanation.params["preset"] == "paper"


@pytest.mark.slow
def test_a_picture_of_another_size_is_scaled_if_asked(pictures, blank_figures):
    with Image.open("seven.png") as picture:
        picture.resize((56, 56)).save("large.png")
    assert main(["explain", "large.png", *PAIR, *FEW]) == 2
    assert main(["explain", "large.png", *PAIR, *FEW, "--resize"]) == 0


def test_models_lists_what_is_shipped_with_its_metrics(capsys, digits_models):
    assert main(["models"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name in ("digits", "digits-cnn"):
        assert any(line.split()[0] == name for line in out.splitlines())
    assert "label_preservation" in out
    assert "accuracy" in out


@pytest.mark.slow
def test_demo_explains_digits(here, capsys):
    assert main(["demo", "--images", "1", "--out", "d"]) == 0
    out, _ = capsys.readouterr()
    for word in ("label", "fidelity", "rule", "counterfactual rule", "figure: d/", "explanation: d/", "JSON: d/"):
        assert word in out
    assert "page: d/" in out
    assert not (here / "d" / "index.html").exists(), "of one there is none"
    (path,) = (here / "d").glob("*.json")
    assert json.loads(path.read_text())["@"] == "Explanation"


def compared(folder: Path, name: str) -> Comparison:
    """The comparison in a folder, after a look at the figure beside it."""
    with Image.open(folder / f"{name}-comparison.png") as figure:
        assert min(figure.size) > 200
    assert sorted(p.name for p in folder.iterdir()) == [f"{name}-comparison.npz", f"{name}-comparison.png"]
    return Comparison.load(folder / f"{name}-comparison.npz")


@pytest.mark.slow
def test_a_digit_is_compared(here, capsys):
    assert main(["compare", "digits:test:7", *PAIR, "--methods", "abele,smoothgrad, edge-detector"]) == 0
    out, err = capsys.readouterr()
    comparison = compared(here / "abele_out", "digits-test-7")
    assert list(comparison.maps) == ["abele", "smoothgrad", "edge-detector"]
    assert comparison.class_names == tuple("0123456789")
    assert out.splitlines() == [
        "digits-test-7:",
        *(f"  {line}" for line in str(comparison).splitlines()),
        f"  figure: {Path('abele_out') / 'digits-test-7-comparison.png'}",
        f"  maps: {Path('abele_out') / 'digits-test-7-comparison.npz'}",
    ]
    assert err == ""


@pytest.mark.slow
def test_several_images_are_compared_in_one_figure(pictures):
    arguments = ["compare", "seven.png", "digits:test:8", "seven.npy", *PAIR, "--methods=rise,random-order", "--seed=3"]
    assert main([*arguments, "--out", "over"]) == 0
    assert main([*arguments, "--out", "plain", "--no-overlay"]) == 0
    over, plain = (compared(pictures / out, "seven-and-2-more") for out in ("over", "plain"))
    assert len(over) == 3
    assert over.params["random_state"] == 3
    assert over.images[0].equal(over.images[2])
    assert [told["specification"] for told in over.provenance["images"]] == ["seven.png", "digits:test:8", "seven.npy"]
    assert over.provenance["command"] == shlex.join(["abele", *arguments, "--out", "over"])
    assert all(over.maps[name].equal(plain.maps[name]) for name in ("rise", "random-order"))
    pixels = [Path(out, "seven-and-2-more-comparison.png").read_bytes() for out in ("over", "plain")]
    assert pixels[0] != pixels[1]


def test_a_forest_is_compared_without_the_methods_that_need_gradients(here, capsys):
    models = ["--autoencoder", "digits", "--black-box", "digits-forest"]
    assert main(["compare", "digits:test:7", *models, "--methods", "saliency,lrp,occlusion"]) == 0
    assert "left out: Gradient, Epsilon-LRP: needs gradients and got a Forest" in capsys.readouterr().out
    assert list(compared(here / "abele_out", "digits-test-7").maps) == ["occlusion"]


def test_a_module_beside_the_image_is_a_black_box_with_gradients(pictures):
    (pictures / "mynetwork.py").write_text(
        "from torch import nn\n\nnetwork = nn.Sequential(nn.Flatten(), nn.Linear(784, 3), nn.ReLU())\n"
        "nn.init.constant_(network[1].weight, 0.1)\n"
    )
    models = ["--autoencoder", "digits", "--black-box", "mynetwork:network"]
    assert main(["compare", "seven.png", *models, "--methods", "saliency,edge-detector"]) == 0
    comparison = compared(pictures / "abele_out", "seven")
    assert comparison.left_out == {}
    assert np.allclose(comparison.maps["saliency"], 0.1)


EXPLAIN = ["explain", "digits:test:7"]
COMPARE = ["compare", "digits:test:7"]
MISTAKES = {
    "no command": [],
    "unknown command": ["explian"],
    "no image": ["explain", *PAIR],
    "no autoencoder": [*EXPLAIN, "--black-box", "digits-cnn"],
    "no black box": [*EXPLAIN, "--autoencoder", "digits"],
    "unknown option": [*EXPLAIN, *PAIR, "--colour", "red"],
    "word for a number": [*EXPLAIN, *PAIR, "--samples", "many"],
    "unknown autoencoder": [*EXPLAIN, "--autoencoder", "digit", "--black-box", "digits-cnn"],
    "no such folder": [*EXPLAIN, "--autoencoder", "./nowhere", "--black-box", "digits-cnn"],
    "classifier as autoencoder": [*EXPLAIN, "--autoencoder", "digits-cnn", "--black-box", "digits-cnn"],
    "unknown black box": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "digits-cnm"],
    "autoencoder as black box": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "digits"],
    "unknown data set": ["explain", "digit:test:7", *PAIR],
    "unknown split": ["explain", "digits:tset:7", *PAIR],
    "index too large": ["explain", "digits:test:300", *PAIR],
    "index negative": ["explain", "digits:test:-1", *PAIR],
    "index huge": ["explain", f"digits:test:{10**30}", *PAIR],
    "index a word": ["explain", "digits:test:seven", *PAIR],
    "no index": ["explain", "digits:test", *PAIR],
    "missing picture": ["explain", "nowhere.png", *PAIR],
    "name too long": ["explain", "x" * 5000, *PAIR],
    "folder as picture": ["explain", ".", *PAIR],
    "empty name": ["explain", "", *PAIR],
    "no picture": ["explain", "text.png", *PAIR],
    "no data there": ["explain", "mnist:test:7", *PAIR, "--data-dir", "."],
    "unknown target": [*EXPLAIN, *PAIR, "--target", "cat"],
    "target too large": [*EXPLAIN, *PAIR, "--target", "10"],
    "unknown neighborhood": [*EXPLAIN, *PAIR, "--neighborhood", "nearby"],
    "unknown preset": [*EXPLAIN, *PAIR, "--preset", "fast"],
    "no samples": [*EXPLAIN, *PAIR, "--samples", "0"],
    "no batch": [*EXPLAIN, *PAIR, "--batch-size", "0"],
    "seed too large": [*EXPLAIN, *PAIR, "--seed", str(10**30)],
    "one picture of several missing": ["explain", "digits:test:7", "nowhere.png", *PAIR],
    "out is a file": [*EXPLAIN, *PAIR, *FEW, "--out", "text.png"],
    "no module": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "no_such_module:f"],
    "no function": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "models_here:missing"],
    "relative module": [*EXPLAIN, "--autoencoder", "digits", "--black-box", ".models_here:good"],
    "empty module": [*EXPLAIN, "--autoencoder", "digits", "--black-box", ":good"],
    "empty function": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "models_here:"],
    "module with a mistake": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "broken_here:f"],
    "module that fails": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "failing_here:f"],
    "not callable": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "models_here:NUMBER"],
    "function that raises": [*EXPLAIN, "--autoencoder", "digits", "--black-box", "models_here:raises"],
    "comparison of nothing": ["compare", *PAIR],
    "comparison with a missing picture": [*COMPARE, "nowhere.png", *PAIR],
    "comparison without a black box": [*COMPARE, "--autoencoder", "digits"],
    "unknown method": [*COMPARE, *PAIR, "--methods", "abele,lemon"],
    "empty method": [*COMPARE, *PAIR, "--methods", "abele,"],
    "method twice": [*COMPARE, *PAIR, "--methods", "lime,lime"],
    "no method left": [*COMPARE, "--autoencoder", "digits", "--black-box", "digits-forest", "--methods", "lrp"],
    "comparison with an impossible seed": [*COMPARE, *PAIR, "--seed", "-1"],
    "comparison without a batch": [*COMPARE, *PAIR, "--batch-size", "0"],
    "comparison into a file": [*COMPARE, *PAIR, "--methods", "edge-detector", "--out", "text.png"],
    "comparison by a function that raises": [
        *COMPARE,
        *["--autoencoder", "digits", "--black-box", "models_here:raises"],
    ],
    "demo of no digits": ["demo", "--images", "0"],
    "demo of too many digits": ["demo", "--images", "301"],
    "demo with an impossible seed": ["demo", "--seed", str(10**30)],
}


@pytest.mark.parametrize("arguments", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_and_exit_code_2(arguments, here, capsys, monkeypatch):
    Path("text.png").write_text("hello")
    Path("models_here.py").write_text("NUMBER = 3\ngood = len\n\ndef raises(x):\n    raise ValueError('two\\nlines')\n")
    Path("broken_here.py").write_text("def f(:\n")
    Path("failing_here.py").write_text("1 / 0\n")
    monkeypatch.delitem(sys.modules, "models_here", raising=False)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("abele: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert not Path("abele_out").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["explain", "digits:test:7", "--autoencoder", "digit", "--black-box", "digits-cnn"], "Did you mean 'digits'"),
        (["explain", "digits:tset:7", *PAIR], "Did you mean 'test'"),
        (["explain", "digits:test:300", *PAIR], "expected 0 to 299"),
        (["explain", "mnist:test:7", *PAIR, "--data-dir", "."], "--data-dir"),
        (["explain", "nowhere.png", *PAIR], "nowhere.png"),
        (["explain", "digits:test:7", *PAIR, "--target", "cat"], "expected one of: 0, 1, 2"),
        (["compare", "digits:test:7", *PAIR, "--methods", "smoothgard"], "Did you mean 'smoothgrad'"),
    ],
)
def test_the_line_names_what_to_do(arguments, word, here, capsys):
    assert main(arguments) == 2
    assert word in capsys.readouterr().err


def test_the_own_label_as_target_is_a_mistake(here, capsys, digit_explanation):
    assert main(["explain", "digits:test:7", *PAIR, *FEW, "--target", str(digit_explanation.label)]) == 2
    assert "the label the image has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["explain", "compare", "train", "models", "demo"]),
        (
            ["compare", "--help"],
            ["--methods", "--no-overlay", *(f"{f}: {names[0]}" for f, names in families().items())],
        ),
        (["explain", "--help"], ["--autoencoder", "--black-box", "--target", "DATASET:SPLIT:INDEX", "--html", "--out"]),
        (["evaluate", "--help"], ["--costly-images", *(word for name in PARTS for word in name.split("-"))]),
        (["train", "--help"], ["RECIPE.yaml --help", "--print_config", "folder training/", "training/folder.yaml"]),
        (["train", "-h"], ["usage: abele train RECIPE.yaml [options]"]),
        (["demo", "--help"], ["--images"]),
        (["models", "--help"], ["checkpoints"]),
    ],
)
def test_help(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code in (0, None)
    out, err = capsys.readouterr()
    assert all(word in " ".join(out.split()) for word in words)
    assert err == ""


def test_the_names_in_a_light_help_are_those_of_the_tables():
    assert tuple(STRATEGIES) == NEIGHBORHOODS
    assert preprocessing.ORDERS == ORDERS


@pytest.mark.slow
def test_the_installed_command(here, monkeypatch, capsys):
    command = Path(sys.executable).with_name("abele")
    good = subprocess.run([command, *EXPLAIN, *PAIR, *FEW], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    written(here / "abele_out", "digits-test-7")
    monkeypatch.setattr("sys.argv", [str(command), "explain", "nowhere.png", *PAIR])
    with pytest.raises(SystemExit) as ended:  # in this process, which saves a start
        runpy.run_path(str(command), run_name="__main__")
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("abele: got the path 'nowhere.png'")
    assert err.count("\n") == 1
