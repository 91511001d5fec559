"""``abele summary`` and ``abele similar``: what they write and say, and one line for every mistake."""

import sys
from pathlib import Path

import pytest
from support.commands import PAIR
from support.runs import mixed, row, write_run

from abele_py.cli.commands import main
from abele_py.distributed.images import Listed
from abele_py.distributed.rows import row_of
from abele_py.provenance import origin_of


def refused(capsys, *arguments):
    assert main([*map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert out == ""
    return err


def test_a_summary_is_written_and_told(here, capsys):
    write_run(here / "run", mixed())
    assert main(["summary", "run"]) == 0
    out = capsys.readouterr().out
    assert "40 of 40 images are there, 2 of them could not be explained" in out
    assert "taken for" in out
    assert f"summary.html: {Path('run') / 'summary' / 'summary.html'}" in out
    assert (here / "run" / "summary" / "borders.csv").is_file()
    assert main(["summary", "run", "--out", "elsewhere"]) == 0
    page = (here / "elsewhere" / "summary.html").read_text(encoding="utf-8")
    assert page == (here / "run" / "summary" / "summary.html").read_text(encoding="utf-8")


def test_what_is_no_run_is_refused(here, capsys):
    assert "no readable run.json" in refused(capsys, "summary", "nowhere")
    assert "no readable run.json" in refused(capsys, "similar", "digits:test:7", here)
    assert list(here.iterdir()) == []


def test_a_place_with_other_files_is_refused(here, capsys):
    write_run(here / "run", mixed())
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("mine")
    assert "mine" in refused(capsys, "summary", "run", "--out", "mine")


@pytest.fixture
def run(here, digits_models, digit_images, digit_explanation):
    """A run of one digit."""
    autoencoder, classifier = digits_models
    listed = Listed(0, "digits:test:7", digit_images[7], digit_explanation.label)
    kept = row_of(listed, digit_explanation, "figures")
    models = {"autoencoder": origin_of(autoencoder), "black_box": origin_of(classifier)}
    models = {role: {k: v for k, v in origin.items() if k != "specification"} for role, origin in models.items()}
    return write_run(here / "run", [kept], "0123456789", models=models, image_shape=(1, 28, 28), keep="figures")


@pytest.mark.parametrize("given", [[], PAIR])
def test_similar_explanations_are_named_with_the_way_to_them(run, capsys, given):
    assert main(["similar", "digits:test:7", "run", *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "1 of 1 explanations with this label hold for it too"
    assert lines[2] == "digits:test:7: distance 0.000"
    assert "abele explain digits:test:7 --autoencoder digits --black-box digits-cnn" in lines[3]


def test_the_summary_of_real_rows_shows_their_pictures(run):
    assert main(["summary", "run"]) == 0
    page = (run / "summary" / "summary.html").read_text(encoding="utf-8")
    assert 'alt="digits:test:7"' in page
    assert "abele explain digits:test:7 --autoencoder digits --black-box digits-cnn --html" in page
    assert "For 100.0 % (1 of 1) of the images whose true class is known." in page


def test_other_models_and_images_are_refused(run, capsys):
    assert "another black box" in refused(capsys, "similar", "digits:test:7", "run", "--black-box", "digits-forest")
    assert "got" in refused(capsys, "similar", "nowhere.png", "run")
    assert "most" in refused(capsys, "similar", "digits:test:7", "run", "--most", "0")


def test_a_black_box_that_is_no_checkpoint_must_be_given(here, capsys):
    named = {"autoencoder": "digits", "black_box": "os:system"}
    write_run(here / "run", [row(0)], named=named, image_shape=(1, 28, 28))
    err = refused(capsys, "similar", "digits:test:7", "run")
    assert "--black-box os:system" in err


@pytest.mark.parametrize("command", [["summary", "run"], ["similar", "digits:test:7", "run"]])
def test_without_pyarrow_the_extra_is_named(here, capsys, monkeypatch, command):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n.startswith(("abele_py.distributed", "abele_py.views.summary"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'abele_py[dataset]'" in refused(capsys, *command)
