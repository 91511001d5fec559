"""What a command writes stands beside what is there: nothing is replaced, and it says what was explained."""

import hashlib
import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import FEW, PAIR, names
from support.results import content

from abele_py import Comparison, Explanation
from abele_py.cli.commands import main
from abele_py.provenance import command_of


@pytest.fixture
def quick(monkeypatch, blank_figures):
    """Explanations without a figure, of two small pictures of one name, and of few neighbors."""
    from matplotlib.figure import Figure

    monkeypatch.setattr("abele_py.attribution.comparison.Comparison.plot", lambda *_: Figure(figsize=(6, 6)))


def two_of_one_name(digit_images):
    for folder, index in (("a", 7), ("b", 8)):
        Path(folder).mkdir()
        Image.fromarray((digit_images[index, 0] * 255).round().byte().numpy()).save(f"{folder}/001.png")


def endings(name, *suffixes):
    return [f"{name}{suffix}" for suffix in suffixes]


RESULTS = ("-explanation.json", "-explanation.npz", "-explanation.png")


@pytest.mark.slow
def test_a_loop_over_pictures_of_one_name_keeps_all_results_and_the_same_again_replaces_its_own(
    here, digit_images, capsys, quick
):
    two_of_one_name(digit_images)

    def explain(*arguments):
        assert main(["explain", *arguments, *PAIR, "--samples", "50", "--json", "summary", "--out", "s"]) == 0
        return capsys.readouterr().out

    assert "another result" not in explain("a/001.png")

    def contents():
        return {path: content(Explanation.load(path)) for path in first}

    first = [Path("s/001-explanation.npz")]
    before = contents()
    assert "001-2:\n" in (said := explain("b/001.png"))
    assert "001 in s is another result, which is kept" in said
    assert names("s") == sorted(endings("001", *RESULTS) + endings("001-2", *RESULTS))
    for path, image in (("s/001-explanation.npz", 7), ("s/001-2-explanation.npz", 8)):
        assert np.allclose(Explanation.load(path).image, digit_images[image], atol=1 / 255)
    explain("b/001.png"), explain("a/001.png")
    assert len(names("s")) == 6, "the same commands replace their own results"
    assert contents() == before
    explain("a/001.png", "--seed", "1")
    assert Explanation.load("s/001-3-explanation.npz").params["random_state"] == 1
    assert contents() == before


def test_results_stand_beside_whatever_else_has_their_names(here, digit_images, capsys, quick):
    Path("s").mkdir()
    Path("s/digits-test-7-explanation.png").write_bytes(b"the user's")
    Path("s/digits-test-7-2-explanation.npz").write_bytes(b"the user's")
    Path("s/digits-test-7-3-explanation.npz").mkdir()
    Path("s/digits-test-7-4-explanation.html").symlink_to("nowhere")
    assert main(["explain", "digits:test:7", *PAIR, "--samples", "50", "--out", "s"]) == 0
    assert names("s") == sorted(
        [
            *("digits-test-7-explanation.png", "digits-test-7-2-explanation.npz", "digits-test-7-3-explanation.npz"),
            "digits-test-7-4-explanation.html",
            *endings("digits-test-7-5", *RESULTS),
        ]
    )
    assert Path("s/digits-test-7-explanation.png").read_bytes() == b"the user's"


def test_comparisons_of_pictures_of_one_name_are_kept(here, digit_images, capsys, quick):
    two_of_one_name(digit_images)
    for picture in ("a/001.png", "b/001.png", "a/001.png"):
        assert main(["compare", picture, *PAIR, "--methods", "edge-detector,occlusion", "--out", "s"]) == 0
    kept = ("-comparison.npz", "-comparison.png")
    assert names("s") == sorted(endings("001", *kept) + endings("001-2", *kept))
    assert "001 in s is another result, which is kept" in capsys.readouterr().out
    assert main(["compare", "a/001.png", *PAIR, "--methods", "edge-detector", "--out", "s"]) == 0
    assert list(Comparison.load("s/001-3-comparison.npz").maps) == ["edge-detector"]


@pytest.mark.slow
def test_an_index_that_leads_to_other_results_is_kept(here, capsys, quick):
    def explain(*images):
        arguments = ["explain", *images, *PAIR, "--samples", "50", "--json", "summary", "--html", "--out", "s"]
        assert main(arguments) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert explain("digits:test:7", "digits:test:8") == "index: s/index.html"
    before = Path("s/index.html").read_bytes()
    assert explain("digits:test:9", "digits:test:8") == "index: s/index-2.html"
    assert explain("digits:test:7", "digits:test:8") == "index: s/index.html"
    assert Path("s/index.html").read_bytes() == before
    assert explain("digits:test:7", "digits:test:8", "digits:test:9") == "index: s/index.html", "leads to all"


OUTS = {
    "explain": ["explain", "digits:test:7", *PAIR],
    "compare": ["compare", "digits:test:7", *PAIR],
    "demo": ["demo"],
    "evaluate": ["evaluate", "digits:test:2", *PAIR],
}


@pytest.mark.parametrize("command", OUTS)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_computed(command, here, capsys, monkeypatch):
    def compute(*args, **options):
        pytest.fail("computed")

    for module, function in (("options", "black_box_of"), ("compare", "black_box_of"), ("evaluate", "black_box_of")):
        monkeypatch.setattr(f"abele_py.cli.{module}.{function}", compute)
    monkeypatch.setattr("abele_py.datasets.loading.load_split", compute)
    Path("file").write_bytes(b"the user's")
    Path("link").symlink_to("nowhere")
    for out in ("file", "file/", "file/below", "new/" + "x" * 256, "new/" + "y/" * 3000, "new/a\0b", "link"):
        assert main([*OUTS[command], "--out", out]) == 2, out
        said, err = capsys.readouterr()
        assert said == ""
        assert err.startswith("abele: got ")
        assert err.count("\n") == 1
        assert "cannot be written" in err
        assert names(here) == ["file", "link"], "no empty folder is left"
    assert Path("file").read_bytes() == b"the user's"


def test_a_picture_of_the_longest_name_has_results(here, digit_images, capsys, quick):
    Image.fromarray((digit_images[7, 0] * 255).round().byte().numpy()).save("é" * 125 + ".png")
    assert main(["explain", "é" * 125 + ".png", *PAIR, "--samples", "50", "--html", "--out", "s"]) == 0
    assert names("s") == sorted(endings("é" * 80, *RESULTS, "-explanation.html"))


def test_results_tell_what_was_explained(here, blank_figures, digit_images):
    pixels = (digit_images[7, 0] * 255).round().byte().numpy()
    Image.fromarray(pixels).resize((56, 56)).save("seven.png")
    command = ["explain", "seven.png", "digits:test:7", *PAIR, *FEW, "--resize", "--json", "summary"]
    assert main(command) == 0
    explanation = Explanation.load("abele_out/seven-explanation.npz")
    told = explanation.provenance
    assert told["image"]["files"] == {"seven.png": hashlib.sha256(Path("seven.png").read_bytes()).hexdigest()}
    assert (told["image"]["size"], told["image"]["resized"]) == ([56, 56], True)
    assert told["command"] == shlex.join(["abele", *command])
    assert abs(datetime.fromisoformat(told["time"]) - datetime.now(UTC)) < timedelta(hours=1)
    assert told["versions"]["torch"]
    for role, name in (("autoencoder", "digits"), ("black_box", "digits-cnn")):
        assert told[role]["name"] == name
        assert set(told[role]["files"]) >= {"manifest.json", "model.safetensors"}
    short = Path("abele_out/seven-explanation.json").read_text()
    assert len(short) < 10_000
    assert json.loads(short)["provenance"] == told
    other = Explanation.load("abele_out/digits-test-7-explanation.npz").provenance
    assert other["image"]["specification"] == "digits:test:7"


def test_a_command_that_is_told_holds_no_keys():
    told = command_of(["explain", "a b.png", "--black-box", "https://host/predict?key=secret&x=1", "--seed", "1"])
    assert told == "abele explain 'a b.png' --black-box 'https://host/predict' --seed 1"
