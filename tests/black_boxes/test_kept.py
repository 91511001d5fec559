"""Answers that are kept are given again to the same images, and to nobody else's black box."""

import pytest
import torch

from abele_py.black_boxes.black_box import BlackBox
from abele_py.black_boxes.kept import KeptAnswers
from abele_py.errors import PlaceError

IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def columns(images):
    return images.flatten(1)[:, :3].softmax(dim=1)


def labels(images):
    return columns(images).argmax(dim=1)


@pytest.mark.parametrize("classifier", [columns, labels, lambda images: 7 * images.flatten(1)[:, :3]])
def test_an_answer_comes_back_as_it_was(tmp_path, classifier):
    answer = BlackBox(classifier)(IMAGES)
    KeptAnswers(tmp_path / "kept", {"a": 1}).put(IMAGES, answer)
    again = KeptAnswers(tmp_path / "kept", {"a": 1}).get(IMAGES)
    assert torch.equal(again.labels, answer.labels)
    assert again.scale == answer.scale
    assert (again.scores is None) == (answer.scores is None)
    assert answer.scores is None or torch.equal(again.scores, answer.scores)


def test_other_images_have_none(tmp_path):
    kept = KeptAnswers(tmp_path / "kept", {})
    assert kept.get(IMAGES) is None
    kept.put(IMAGES, BlackBox(columns)(IMAGES))
    assert kept.get(IMAGES[:4]) is None
    assert kept.get(IMAGES + 1e-6) is None


def test_those_of_another_black_box_are_removed(tmp_path):
    KeptAnswers(tmp_path / "kept", {"name": "a"}).put(IMAGES, BlackBox(columns)(IMAGES))
    assert KeptAnswers(tmp_path / "kept", {"name": "b"}).get(IMAGES) is None
    assert not (tmp_path / "kept").exists()


def test_they_are_forgotten_where_the_black_box_answers_otherwise(tmp_path):
    kept = KeptAnswers(tmp_path / "kept", {})
    answer = BlackBox(columns)(IMAGES)
    kept.put(IMAGES, answer)
    kept.check(IMAGES, answer)
    assert kept.get(IMAGES) is not None
    kept.check(IMAGES, BlackBox(lambda images: 1 - images.flatten(1)[:, :3])(IMAGES))
    assert kept.get(IMAGES) is None


@pytest.mark.parametrize("damage", [lambda content: content[:50], lambda _: b"", lambda content: content[::-1]])
def test_a_damaged_file_is_as_if_it_were_not_there(tmp_path, damage):
    kept = KeptAnswers(tmp_path / "kept", {})
    answer = BlackBox(columns)(IMAGES)
    kept.put(IMAGES, answer)
    (path,) = (tmp_path / "kept").glob("batch-*.npz")
    path.write_bytes(damage(path.read_bytes()))
    assert kept.get(IMAGES) is None
    kept.put(IMAGES, answer)
    assert torch.equal(kept.get(IMAGES).scores, answer.scores)


def test_nothing_of_others_is_removed(tmp_path):
    kept = KeptAnswers(tmp_path / "kept", {})
    kept.put(IMAGES, BlackBox(columns)(IMAGES))
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    with pytest.raises(PlaceError, match=r"notes\.txt"):
        kept.forget()
    with pytest.raises(PlaceError, match=r"notes\.txt"):
        KeptAnswers(tmp_path / "kept", {"other": 1})
    assert len(list((tmp_path / "kept").iterdir())) == 3
