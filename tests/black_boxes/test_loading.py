"""Specifications of black boxes: each kind by the command and by the page, and what is refused."""

import hashlib
import json
import re
import shutil
from http.server import HTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
import torch
from sklearn.ensemble import RandomForestClassifier
from support.black_box_files import refused, write_onnx, write_pt2
from support.paths import ROOT
from support.servers import endpoint, serving
from support.worlds import seeded

from abele_py import BlackBox, Comparison, Explanation, load_black_box
from abele_py.black_boxes.loading import OTHER_FILES, identity
from abele_py.cli.commands import main
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.errors import BlackBoxError, ParameterError, UnknownNameError
from abele_py.provenance import origin_of

PAGE = (ROOT / "docs" / "black-boxes.md").read_text(encoding="utf-8")
IMAGES = torch.rand(5, 1, 1, 2, generator=seeded())


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("spec", ["file:///etc/passwd", "ftp://host/model.onnx", "s3://bucket/model.pt2"])
def test_other_addresses_are_refused(spec):
    assert "http://" in refused(spec)


@pytest.mark.parametrize("suffix", OTHER_FILES)
def test_other_files_are_refused_with_the_command_that_converts_them(suffix, tmp_path):
    (tmp_path / f"model{suffix}").write_bytes(b"cos\nmkdir\n")
    text = refused(tmp_path / f"model{suffix}")
    assert OTHER_FILES[suffix] in text
    assert any(kind in OTHER_FILES[suffix] for kind in (".onnx", ".pt2", ".skops"))


def test_checkpoints_bring_their_class_names_and_take_no_preparation(digits_models):
    classifier, names = load_black_box("digits-cnn", image_shape=(1, 28, 28))
    assert type(classifier) is type(digits_models[1])
    assert names == tuple("0123456789")
    assert "its own preprocessing" in refused("digits-cnn", ParameterError, mean=0.5)
    assert "(3, 8, 8)" in refused("digits-cnn", image_shape=(3, 8, 8))
    with pytest.raises(UnknownNameError, match="digits-cnn"):
        load_black_box("digits-cnm")


def test_functions_modules_and_estimators_of_a_module(tmp_path, monkeypatch):
    (tmp_path / "own_boxes.py").write_text(
        "import torch\nfrom sklearn.linear_model import LogisticRegression\n"
        "def dark(images):\n    return (images.mean(dim=(1, 2, 3)) < 0).long()\n"
        "module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Identity())\n"
        "estimator = LogisticRegression().fit([[0, 0], [255, 255]], [0, 1])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    dark = BlackBox(load_black_box("own_boxes:dark", mean="0.5").classifier)(IMAGES)
    assert torch.equal(dark.labels, (IMAGES.mean(dim=(1, 2, 3)) < 0.5).long())
    module = load_black_box("own_boxes:module", std=0.5).classifier
    assert isinstance(module, torch.nn.Module)
    assert torch.equal(BlackBox(module)(IMAGES).scores, IMAGES.flatten(1) * 2)
    assert torch.equal(module.logits(IMAGES), IMAGES.flatten(1) * 2)
    estimator = load_black_box("own_boxes:estimator", std=1 / 255).classifier
    assert BlackBox(estimator)(torch.tensor([0.1, 0.9]).view(2, 1, 1, 1).expand(2, 1, 1, 2)).labels.tolist() == [0, 1]


def test_identity_is_a_hash_of_what_can_be_hashed_and_options(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"a")
    one = identity(str(tmp_path / "a.onnx"), mean=None, channel_order="rgb", channels_last=False)
    assert one["name"] == "a.onnx"
    (tmp_path / "a.onnx").write_bytes(b"b")
    other = identity(str(tmp_path / "a.onnx"), mean="0.5")
    assert one.keys() == {"name", "sha256"}
    assert other["sha256"] != one["sha256"]
    assert other["mean"] == "0.5"
    assert identity("digits-cnn").keys() == {"name", "sha256"}
    assert identity("own:function") == {"name": "own:function"}
    with pytest.raises(BlackBoxError, match="cannot be read"):
        identity(str(tmp_path / "none.pt2"))


# --- the command ------------------------------------------------------------------------------------------------------

DIGITS = ["--autoencoder", "digits"]
FEW = ["--samples", "100"]


@pytest.fixture(scope="module")
def models(tmp_path_factory, digits_models):
    """A folder with the digits' CNN as model.onnx and model.pt2, and a forest on them, of words, as model.skops."""
    folder, network = tmp_path_factory.mktemp("models"), digits_models[1]
    write_onnx(network, torch.rand(2, 1, 28, 28), folder / "model.onnx")
    write_pt2(network, torch.rand(2, 1, 28, 28), folder / "model.pt2", torch.export.Dim("n"))
    train = load_split("digits", "train")
    words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    forest = RandomForestClassifier(20, random_state=0)
    forest.fit(to_unit(train.images).flatten(1).numpy(), words[train.labels])
    skops.io.dump(forest, folder / "model.skops")
    return folder


@pytest.fixture
def here(models, monkeypatch, tmp_path, blank_figures):
    """A folder of one's own with these models."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def explained(spec, *options, capsys):
    shutil.rmtree("abele_out", ignore_errors=True)  # results of others would be kept beside the new ones
    assert main(["explain", "digits:test:7", *DIGITS, *FEW, "--black-box", spec, *options]) == 0, capsys.readouterr()
    return Explanation.load("abele_out/digits-test-7-explanation.npz")


@pytest.mark.slow
def test_every_kind_explains_a_digit(here, capsys, digit_images, digits_models, blank_figures):
    reference = explained("digits-cnn", capsys=capsys)
    for spec in ("model.onnx", "model.pt2"):
        found = explained(spec, capsys=capsys)
        assert found.label == reference.label
        torch.testing.assert_close(found.scores, reference.scores, rtol=0, atol=1e-4)
        assert found.fidelity == pytest.approx(reference.fidelity, abs=0.1)
    found = explained("model.skops", capsys=capsys)
    words = ("eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero")
    assert found.class_names == words
    assert (
        words[found.label]
        == ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")[reference.label]
    )

    def ask(images):
        with torch.no_grad():
            return digits_models[1](images)

    with endpoint(ask) as (url, _):
        found = explained(url, "--timeout", "60", capsys=capsys)
    assert found.label == reference.label
    # what a network learned on normalised pixels: here the same pixels, turned round twice
    Path("turned.py").write_text(
        "from abele_py import load_classifier\nnetwork = load_classifier('digits-cnn')\n"
        "def f(images):\n    return network(images.permute(0, 3, 1, 2) * 0.5 + 0.1)\n"
    )
    options = ["--mean", "0.1", "--std=0.5", "--channels-last"]
    torch.testing.assert_close(explained("turned:f", *options, capsys=capsys).scores, reference.scores)


@pytest.mark.slow
def test_classes_of_a_file_get_names(here, capsys):
    names = "zero,one,two,three,four,five,six,<b>seven</b>,eight,nine"
    found = explained("model.onnx", "--class-names", names, "--target", "two", "--html", capsys=capsys)
    assert found.class_names == tuple(names.split(","))
    assert set(found.counter_exemplars.labels.tolist()) <= {2}
    assert "<b>seven" not in Path("abele_out/digits-test-7-explanation.html").read_text()
    assert main(["explain", "digits:test:7", *DIGITS, "--black-box", "model.onnx", "--class-names", "a,b"]) == 2
    assert "got 2 class_names for 10 scores" in capsys.readouterr().err
    arguments = ["compare", "digits:test:7", *DIGITS, "--black-box", "model.onnx", "--methods", "edge-detector"]
    assert main([*arguments, "--class-names", names]) == 0
    assert Comparison.load("abele_out/digits-test-7-comparison.npz").class_names == tuple(names.split(","))


@pytest.mark.slow
def test_an_exported_network_is_compared_with_gradients(here, capsys):
    for spec in ("digits-cnn", "model.pt2", "model.onnx"):
        arguments = ["compare", "digits:test:7", *DIGITS, "--methods", "saliency,grad-cam,lrp,edge-detector"]
        assert main([*arguments, "--black-box", spec, "--out", spec.replace(".", "-")]) == 0
    network, exported, asked = (
        Comparison.load(f"{folder}/digits-test-7-comparison.npz")
        for folder in ("digits-cnn", "model-pt2", "model-onnx")
    )
    assert list(exported.maps) == ["saliency", "edge-detector"]
    torch.testing.assert_close(exported.maps["saliency"], network.maps["saliency"], rtol=1e-3, atol=1e-5)
    assert list(asked.maps) == ["edge-detector"]
    assert "needs gradients" in capsys.readouterr().out


@pytest.mark.slow
def test_an_evaluation_remembers_the_file(here, capsys):
    arguments = [
        "evaluate",
        "digits:test:2",
        *DIGITS,
        "--methods=edge-detector",
        "--parts=surrogate",
        "--costly-images=1",
    ]
    arguments += ["--out", "measured", "--black-box", "model.onnx"]
    assert main([*arguments, "--oracle", "model.pt2"]) == 0
    models = json.loads(Path("measured/run.json").read_text())["models"]
    assert models["black_box"].keys() == {"name", "sha256"}
    assert models["oracle"]["name"] == "model.pt2"
    assert main([*arguments, "--oracle", "model.pt2", "--std", "0.99"]) == 2
    assert "measured" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["missing.onnx"], "no file"),
        (["missing.pt2"], "no file"),
        (["missing.skops"], "no file"),
        (["model.pth"], "torch.export.save"),
        (["model.pkl"], "skops.io.dump"),
        (["ftp://host/model"], "http://"),
        (["http://"], "http://HOST"),
        (["digits-cnn", "--mean", "0.5"], "leave these options out"),
        (["math:sin", "--mean", "half"], "expected numbers"),
        (["math:sin", "--channel-order", "bgr"], "leave the option out"),
        (["http://127.0.0.1:9/", "--timeout", "0"], "a timeout above 0"),
    ],
)
def test_a_mistake_is_one_line(options, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "digits:test:7", *DIGITS, "--black-box", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert word in err


# --- the page ---------------------------------------------------------------------------------------------------------


def page_blocks():
    return re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_server_of_the_page_serves(digits_models, digit_images):
    (source,) = [block for block in page_blocks() if "serve_forever" in block]
    source = (
        source.replace("8000", "0").replace("HTTPServer((", "server = HTTPServer((").replace(".serve_forever()", "")
    )
    names = {}
    exec(compile(source, "docs/black-boxes.md", "exec"), names)
    names["Handler"].log_message = lambda *_: None
    assert isinstance(names["server"], HTTPServer)
    with serving(names["server"]) as url:
        answer = BlackBox(load_black_box(url).classifier)(digit_images[:9])
    torch.testing.assert_close(answer.scores, digits_models[1](digit_images[:9]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the export that needs no library but onnx
def test_the_python_of_the_page_runs(tmp_path, monkeypatch, digits_models):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "secret")
    names = {"torch": torch, "skops": skops, "model": digits_models[1], "images": torch.rand(2, 1, 28, 28)}
    names["forest"] = RandomForestClassifier(2).fit(np.random.default_rng(0).random((20, 784)), np.arange(20) % 2)
    blocks = [block for block in page_blocks() if "serve_forever" not in block]
    for block in sorted(blocks, key=lambda b: "load_black_box" in b):  # files are written before one is read
        exec(compile(block, "docs/black-boxes.md", "exec"), names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "model.pt2", "model.skops"]


def test_the_page_names_every_option_and_kind():
    for word in (
        "--mean",
        "--std",
        "--channel-order",
        "--channels-last",
        "--timeout",
        "[onnx]",
        "[skops]",
        "retries=4",
    ):
        assert word in PAGE


def test_what_was_loaded_is_told_with_all_its_files(tmp_path):
    weights = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    rows = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])
    scores = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4])
    graph = onnx.helper.make_graph([node], "g", [rows], [scores], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.weights", size_threshold=0)
    told = origin_of(load_black_box(path, mean=0.5).classifier)
    expected = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("m.onnx", "m.weights")}
    assert told["files"] == expected
    assert (told["name"], told["specification"]) == ("m.onnx", str(path))
    assert told["pixels"]["mean"] == [0.5]
