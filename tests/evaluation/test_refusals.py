"""What cannot be evaluated is refused, damaged files are named, and what is not ours is kept."""

import pytest
from support.evaluations import silent

from abele_py import load_classifier
from abele_py.errors import (
    BlackBoxError,
    DataError,
    ParameterError,
    PlaceError,
    UnknownNameError,
)
from abele_py.evaluation.run import evaluate
from abele_py.storage.places import alone


def test_nothing_usable_is_an_error_with_the_reason(digits_models, tmp_path):
    with pytest.raises(BlackBoxError, match="gradient"):
        evaluate("digits:test:2", load_classifier("digits-forest"), digits_models[0], tmp_path, methods="lrp")


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        ("digits:test:301", {}, ParameterError, "expected 1 to 300"),
        ("digits:test:0", {}, ParameterError, "expected 1 to 300"),
        ("digits:train:3", {}, ParameterError, "expected val or test"),
        ("digits:test:3:1", {}, ParameterError, "DATASET:SPLIT"),
        ("digits", {}, ParameterError, "DATASET:SPLIT"),
        ("digit:test:3", {}, UnknownNameError, "digits"),
        ("digits:tset:3", {}, UnknownNameError, "Did you mean 'test'"),
        (
            "digits:test:3",
            {"methods": ("integrated-gradient",)},
            UnknownNameError,
            "Did you mean 'integrated-gradients'",
        ),
        ("digits:test:3", {"methods": ("lime", "lime")}, ParameterError, "each once"),
        ("digits:test:3", {"parts": ("salience",)}, UnknownNameError, "Did you mean 'saliency'"),
        ("digits:test:3", {"n_costly": 0}, ParameterError, "at least 1"),
        ("digits:test:3", {"n_maps": 0}, ParameterError, "at least 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_written(
    data, options, error, words, digits_models, tmp_path
):
    with pytest.raises(error, match=words):
        evaluate(data, *digits_models[::-1], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused_at_once_and_left_as_it_is(digits_models, tmp_path, monkeypatch):
    monkeypatch.setattr("abele_py.evaluation.run.load_split", lambda *_: pytest.fail("read"))
    folder = tmp_path / "out"
    with alone(folder), pytest.raises(PlaceError, match="another process is writing; expected one at a time"):
        evaluate("digits:test:2", *digits_models[::-1], folder)
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "out", tmp_path / ("x" * 256)):
        with pytest.raises(PlaceError, match="cannot be written"):
            evaluate("digits:test:2", *digits_models[::-1], place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["table.md", "surrogate.jsonl", "spread.png", "maps", "curves.json"])
def test_what_has_the_names_of_an_evaluation_but_is_none_is_kept(name, digits_models, tmp_path):
    (tmp_path / "seven-explanation.png").write_bytes(b"may stand beside it")
    (tmp_path / name).write_bytes(b"the user's")
    with pytest.raises(ParameterError, match=f"holds no run.json, but {name}, that an evaluation would write"):
        evaluate("digits:test:2", *digits_models[::-1], tmp_path, methods=("edge-detector",), progress=silent)
    assert (tmp_path / name).read_bytes() == b"the user's"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_damaged_files_of_a_run_are_named(digits_models, tmp_path):
    options = {"methods": ("abele",), "parts": ("saliency",), "progress": silent}
    evaluate("digits:test:2", *digits_models[::-1], tmp_path, **options)
    (tmp_path / "saliency.jsonl").write_text('{"image": 3, "ro\n{}\n')
    with pytest.raises(DataError, match=r"saliency\.jsonl"):
        evaluate("digits:test:2", *digits_models[::-1], tmp_path, **options)
    (tmp_path / "saliency.jsonl").unlink()
    next((tmp_path / "maps").iterdir()).write_bytes(b"PK")
    with pytest.raises(DataError, match="damaged maps"):
        evaluate("digits:test:2", *digits_models[::-1], tmp_path, **options)
    for path in (tmp_path / "maps").iterdir():
        path.unlink()
    for suffix, words in (("json", "got no seconds"), ("npz", "no readable explanation")):
        for path in (tmp_path / "explanations").glob(f"*.{suffix}"):
            path.write_bytes(b"{")
        with pytest.raises(DataError, match=words):
            evaluate("digits:test:2", *digits_models[::-1], tmp_path, **options)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run\.json"):
        evaluate("digits:test:2", *digits_models[::-1], tmp_path, **options)


def test_a_black_box_that_breaks_is_an_error_not_a_row(digits_models, tmp_path):
    def broken(images):
        raise ZeroDivisionError("mine")

    with pytest.raises(BlackBoxError, match="mine"):
        evaluate("digits:test:2", broken, digits_models[0], tmp_path, methods=("abele",), progress=silent)
