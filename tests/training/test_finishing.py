"""Which of two autoencoders is kept: the trained one where it is better than chance would make it."""

import pytest
import torch

from abele_py.training.finishing import _Decoded, _is_better

LABELS = torch.arange(2).repeat(200)  # 200 images of each label


def decoded(rmse, wrong, labels=LABELS, first=0):
    """An autoencoder that loses the labels of some images, from the first one on."""
    again, lost = LABELS.clone(), slice(first, first + wrong)
    again[lost] = 1 - again[lost]
    return _Decoded(rmse, labels, again)


@pytest.mark.parametrize(
    ("rmse", "wrong", "better"),
    [
        (8.0, 20, True),  # pixels that are better to be seen, as many labels
        (9.9, 20, False),  # pixels that are not
        (9.9, 15, True),  # five labels more, and none less: the standard error is 2.2 labels
        (9.9, 18, False),
        (8.0, 21, False),
        (10.1, 0, False),
        (10.0, 20, False),
    ],
)
def test_the_trained_one_is_kept_where_it_is_better_by_no_chance(rmse, wrong, better):
    assert _is_better(decoded(rmse, wrong), decoded(10.0, 20)) is better


def test_as_many_labels_of_other_images_are_a_matter_of_chance():
    assert not _is_better(decoded(9.9, 12, first=20), decoded(10.0, 20))
    assert _is_better(decoded(9.9, 12), decoded(10.0, 20))


def test_without_labels_pixels_decide():
    assert _is_better(decoded(9.9, 0, None), decoded(10.0, 0, None))
    assert not _is_better(decoded(10.0, 0, None), decoded(10.0, 0, None))
    assert not _is_better(decoded(0.0, 0), decoded(0.0, 0))
