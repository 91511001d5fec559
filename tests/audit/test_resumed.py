"""An audit that was interrupted goes on: the same result, and no image is asked again but those of the first batch."""

import dataclasses

import pytest
import torch

from abele_py.audit import audit
from abele_py.black_boxes.kept import KeptAnswers
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.errors import BlackBoxError
from abele_py.views.audit_files import as_json

PARAMS = {"n_images": 120, "n_pairs": 300, "batch_size": 50}


@pytest.fixture(scope="module")
def pool():
    split = load_split("digits", "test")
    images = to_unit(split.images)
    images[split.labels == 3, 0, 1:5, 22:26] = 1
    return images


class Breaking:
    """A black box that follows a corner, counts, and breaks once it was asked for a number of images."""

    def __init__(self, classifier, most, error=KeyboardInterrupt):
        self.classifier, self.most, self.error, self.images = classifier, most, error, 0

    def __call__(self, images):
        if self.images + len(images) > self.most:
            raise self.error("broken")
        self.images += len(images)
        odds = self.classifier(images).clamp(min=1e-6).log()
        odds[:, 3] += 20 * (images[:, 0, 1:5, 22:26].mean(dim=(1, 2)) > 0.5)
        return odds.softmax(dim=1)


@pytest.fixture(scope="module")
def whole(pool, digits_models):
    box = Breaking(digits_models[1], 10**9)
    return audit(pool, box, digits_models[0], **PARAMS), box.images


def same(found, other):
    """Whether two audits are the same to the last bit, but for their seconds."""
    assert as_json(found) == as_json(other)
    for one, two in zip(found.suspicions, other.suspicions, strict=True):
        assert torch.equal(one.place.evidence, two.place.evidence)
        for a, b in zip(one.examples, two.examples, strict=True):
            assert all(map(torch.equal, *((e.before, e.donor, e.after) for e in (a, b))))
            assert dataclasses.astuple(a)[3:] == dataclasses.astuple(b)[3:]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_it_goes_on_where_it_was_interrupted(tmp_path, pool, digits_models, whole, share):
    expected, n = whole
    first, second = (Breaking(digits_models[1], most) for most in (int(share * n), 10**9))
    with pytest.raises(KeyboardInterrupt):
        audit(pool, first, digits_models[0], **PARAMS, answers=KeptAnswers(tmp_path / "kept", {}))
    found = audit(pool, second, digits_models[0], **PARAMS, answers=KeptAnswers(tmp_path / "kept", {}))
    same(found, expected)
    assert first.images + second.images == n + (PARAMS["batch_size"] if first.images else 0)


def test_it_goes_on_when_the_black_box_answers_again(tmp_path, pool, digits_models, whole):
    first, second = Breaking(digits_models[1], 400, ConnectionError), Breaking(digits_models[1], 10**9)
    with pytest.raises(BlackBoxError):
        audit(pool, first, digits_models[0], **PARAMS, answers=KeptAnswers(tmp_path / "kept", {}))
    same(audit(pool, second, digits_models[0], **PARAMS, answers=KeptAnswers(tmp_path / "kept", {})), whole[0])
    assert second.images < whole[1] - 300


def test_answers_of_a_black_box_that_has_changed_are_not_taken(tmp_path, pool, digits_models, whole):
    def other(images):
        return digits_models[1](images).roll(1, dims=1)

    audit(pool, other, digits_models[0], **PARAMS, answers=KeptAnswers(tmp_path / "kept", {}))
    box = Breaking(digits_models[1], 10**9)
    same(audit(pool, box, digits_models[0], **PARAMS, answers=KeptAnswers(tmp_path / "kept", {})), whole[0])
    assert box.images == whole[1]


def test_progress_counts_what_has_an_answer(pool, digits_models):
    told = []
    found = audit(pool, digits_models[1], **PARAMS, progress=lambda *step: told.append(step))
    assert told[0] == ("labels", 0)
    assert [n for _, n in told] == sorted({n for _, n in told})
    assert told[-1][1] < found.black_box_images
    assert any("around the object" in words for words, _ in told)
