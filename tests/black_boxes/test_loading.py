"""Specifications of black boxes: each kind by the command, real endpoints with all their moods, and what is refused."""

import hashlib
import json
import re
import shutil
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
import torch
from sklearn.ensemble import RandomForestClassifier
from support.black_box_files import refused, write_onnx, write_pt2
from support.paths import ROOT
from support.worlds import hard, seeded, soft

from abele_py import BlackBox, Comparison, Explanation, load_black_box
from abele_py.black_boxes import http
from abele_py.black_boxes.http import HttpClassifier
from abele_py.black_boxes.loading import OTHER_FILES, identity
from abele_py.cli.commands import main
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.errors import BlackBoxError, ParameterError, UnknownNameError
from abele_py.provenance import origin_of

PAGE = (ROOT / "docs" / "black-boxes.md").read_text(encoding="utf-8")
IMAGES = torch.rand(5, 1, 1, 2, generator=seeded())


class Server(ThreadingHTTPServer):
    block_on_close = False

    def handle_error(self, *_):
        """The client may be gone before its answer is."""


@contextmanager
def serving(server):
    """Its address, while it runs in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/predict"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def endpoint(*answers):
    """A server that gives these answers, one after the other, the last for ever; and the requests it got.

    An answer is a function from images to predictions, or (state, headers, body), or seconds to sleep before `soft`.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = answers[min(len(requests), len(answers) - 1)]
            requests.append(dict(self.headers) | {"path": self.path, "body": body})
            if isinstance(answer, float):
                time.sleep(answer)
                answer = soft
            if callable(answer):
                content = {"predictions": answer(torch.tensor(body["instances"])).tolist()}
                answer = 200, {}, json.dumps(content).encode()
            state, headers, content = answer
            self.send_response(state)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with serving(Server(("127.0.0.1", 0), Handler)) as url:
        yield url, requests


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def slept(monkeypatch):
    """The waits between attempts, which nobody waits for."""
    found = []
    monkeypatch.setattr(http, "sleep", found.append)
    return found


def failure(url, **options):
    with pytest.raises(BlackBoxError) as caught:
        BlackBox(HttpClassifier(url, **options))(IMAGES)
    text = str(caught.value)
    assert url in text
    assert "got" in text
    assert "expected" in text
    return text


@pytest.mark.parametrize("function", [soft, hard])
def test_an_endpoint_of_scores_and_one_of_labels(function):
    with endpoint(function) as (url, requests):
        answer = BlackBox(load_black_box(url).classifier, batch_size=2)(IMAGES)
        last = load_black_box(url, channels_last=True, mean=0.5).classifier(IMAGES)
    assert torch.equal(answer.labels, hard(IMAGES))
    assert answer.scores is None if function is hard else torch.equal(answer.scores, soft(IMAGES))
    assert [len(r["body"]["instances"]) for r in requests] == [2, 2, 1, 5]
    assert torch.equal(torch.tensor(requests[0]["body"]["instances"]), IMAGES[:2])
    assert torch.equal(torch.tensor(requests[3]["body"]["instances"]), (IMAGES - 0.5).permute(0, 2, 3, 1))
    assert requests[0]["Content-Type"] == "application/json"
    assert requests[0]["path"] == "/predict"
    assert len(last) == 5


@pytest.mark.parametrize("state", [429, 500, 503])
def test_what_may_pass_is_tried_again_after_longer_and_longer_waits(state, slept):
    with endpoint((state, {}, b"busy"), (state, {}, b"busy"), soft) as (url, requests):
        answer = BlackBox(HttpClassifier(url))(IMAGES)
    assert torch.equal(answer.scores, soft(IMAGES))
    assert len(requests) == 3
    assert slept == [0.5, 1.0]


def test_retries_end(slept):
    with endpoint((503, {}, b"busy as a bee")) as (url, requests):
        text = failure(url, retries=3, backoff=20)
    assert len(requests) == 4
    assert slept == [20, 40, 60]
    assert "HTTP 503" in text
    assert "busy as a bee" in text
    assert "tried 4 times" in text


@pytest.mark.parametrize(("said", "low", "high"), [("7", 7, 7), ("date", 5, 9), ("soon", 0.5, 0.5), ("-3", 0.5, 0.5)])
def test_retry_after_is_honoured(said, low, high, slept):
    header = formatdate(time.time() + 9, usegmt=True) if said == "date" else said
    with endpoint((429, {"Retry-After": header}, b""), soft) as (url, _):
        BlackBox(HttpClassifier(url))(IMAGES)
    assert low <= slept[0] <= high


def test_retry_after_a_day_is_an_error_at_once(slept):
    with endpoint((503, {"Retry-After": "86400"}, b"")) as (url, requests):
        assert "86400 seconds" in failure(url)
    assert len(requests) == 1
    assert slept == []


def test_a_timeout_is_tried_again():
    with endpoint(3.0, soft) as (url, requests):
        answer = BlackBox(HttpClassifier(url, timeout=1, backoff=0.01))(IMAGES)
        assert torch.equal(answer.scores, soft(IMAGES))
        assert len(requests) >= 2
    with endpoint(3.0) as (url, _):
        assert "timed out" in failure(url, timeout=0.2, retries=0)


def test_an_answer_that_drips_is_a_timeout():
    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b" ")
                time.sleep(0.05)

        def log_message(self, *_):
            pass

    with serving(Server(("127.0.0.1", 0), Dripping)) as url:
        start = time.monotonic()
        assert "longer than 0.5 s" in failure(url, timeout=0.5, retries=0)
        assert time.monotonic() - start < 5


def test_a_server_that_is_not_there_or_hangs_up_is_tried_again(slept):
    with endpoint(soft) as (url, _):
        pass
    assert "refused" in failure(url)
    assert len(slept) == 4
    with endpoint((200, {"Content-Length": "1000"}, b"cut"), soft) as (url, requests):
        BlackBox(HttpClassifier(url))(IMAGES)
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {}, b"wants [H][W]"), ["HTTP 400", "wants [H][W]"]),
        ((404, {}, b"\xff" * 10**6), ["HTTP 404"]),
        ((401, {}, b""), ["HTTP 401"]),
        ((302, {"Location": "http://elsewhere.example/"}, b""), ["HTTP 302", "elsewhere.example", "not followed"]),
        ((307, {"Location": "file:///etc/passwd"}, b""), ["HTTP 307", "not followed"]),
        ((200, {}, b"<html>welcome</html>"), ["not JSON", "<html>welcome"]),
        ((200, {}, b""), ["not JSON"]),
        ((200, {}, b"[" * 10**5), ["not JSON"]),
        ((200, {}, b"[1, 2]"), ["not JSON with predictions"]),
        ((200, {}, b'{"scores": [1]}'), ["not JSON with predictions"]),
        ((200, {}, b'{"predictions": [1, 0]}'), ["a list of 5 but 2"]),
        ((200, {}, b'{"predictions": 3}'), ["a list of 5 but no list"]),
        ((200, {}, b'{"predictions": [[1, 2], [1], [1], [1], [1]]}'), ["different lengths"]),
        ((200, {}, b'{"predictions": ["a", "b", "c", "d", "e"]}'), ["neither labels nor"]),
        ((200, {}, b'{"predictions": [{}, {}, {}, {}, {}]}'), ["neither labels nor"]),
        ((200, {}, b'{"predictions": [true, true, true, true, true]}'), ["neither labels nor"]),
    ],
)
def test_another_answer_is_an_error_at_once(answer, words, slept):
    with endpoint(answer) as (url, requests):
        text = failure(url)
    assert len(requests) == 1
    assert slept == []
    assert all(word in text for word in words), text
    assert len(text) < 700


def test_an_endless_answer_is_cut_off(monkeypatch):
    monkeypatch.setattr(http, "MOST_BYTES", 1000)
    with endpoint((200, {}, b" " * 10**5)) as (url, _):
        assert "more than 1000 bytes" in failure(url)


def test_headers_are_sent_and_secrets_are_not_shown(slept):
    with endpoint((403, {}, b"")) as (url, requests), pytest.raises(BlackBoxError) as caught:
        HttpClassifier(f"{url}?key=secret", headers={"Authorization": "Bearer secret"})(IMAGES)
    assert requests[0]["Authorization"] == "Bearer secret"
    assert requests[0]["path"] == "/predict?key=secret"
    assert "secret" not in str(caught.value)
    assert identity(f"{url}?key=secret") == {"name": url}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://", {}),
        ("http:///predict", {}),
        ("http://host:port/", {}),
        ("http://host/a b", {}),
        ("http://höst/", {}),
        ("http://me:secret@host/", {}),
        ("file:///etc/passwd", {}),
        ("http://host/", {"timeout": 0}),
        ("http://host/", {"timeout": float("nan")}),
        ("http://host/", {"retries": -1}),
        ("http://host/", {"backoff": -1}),
    ],
)
def test_impossible_endpoints_are_refused_at_once(url, options):
    with pytest.raises(ParameterError, match="expected") as caught:
        HttpClassifier(url, **options)
    assert "secret" not in str(caught.value)


# --- specifications ---------------------------------------------------------------------------------------------------


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
