"""The images of a data set: each once, in a fixed order, with what is known of it, or with why it cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

from abele_py.datasets.loading import load_split
from abele_py.datasets.records import ImageSet, to_unit
from abele_py.distributed.images import images_of, in_shards
from abele_py.errors import DataError, ImageError, ParameterError

SHAPE, NAMES = (1, 4, 5), ("cat", "dog", "owl")


def grey(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 5), dtype=np.uint8)


def listed(data, names=NAMES, shape=SHAPE, **more):
    images = images_of(data, shape, names, **more)
    return [images.read(i) for i in range(len(images))]


@pytest.fixture
def folder(tmp_path):
    """Two pictures of cats, one of something unknown, one of nothing, and a broken dog."""
    for name, pixels in zip(("cat/b.png", "cat/a.png", "yak/c.png", "d.png"), grey(4), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "e.png").write_bytes(b"\x89PNG is none")
    return tmp_path


def test_a_split_is_read_in_its_order():
    split = load_split("digits", "test")
    found = listed("digits:test", tuple("0123456789"), (1, 28, 28))
    assert len(found) == len(split)
    assert [one.name for one in found[:2]] == ["digits:test:0", "digits:test:1"]
    assert [one.true_label for one in found] == split.labels.tolist()
    assert all(torch.equal(one.image, to_unit(image)) for one, image in zip(found, split.images, strict=True))


def test_n_images_are_drawn_by_the_seed_and_keep_their_numbers():
    split = load_split("digits", "test")
    found = listed("digits:test:9", (), (1, 28, 28), seed=3)
    rows = [int(one.name.split(":")[2]) for one in found]
    assert rows == sorted(set(rows))
    assert [one.number for one in found] == list(range(9))
    assert [one.true_label for one in found] == split.labels[rows].tolist()
    assert rows == [int(one.name.split(":")[2]) for one in listed("digits:test:9", (), (1, 28, 28), seed=3)]
    assert rows != [int(one.name.split(":")[2]) for one in listed("digits:test:9", (), (1, 28, 28), seed=4)]


@pytest.mark.parametrize("n", [0, 10**6])
def test_more_images_than_there_are_are_refused(n):
    with pytest.raises(ParameterError, match=rf"got {n} images of digits:test; expected 1 to \d+"):
        images_of(f"digits:test:{n}", (1, 28, 28), ())


def test_a_folder_says_what_is_true_where_it_is_named_as_a_class(folder):
    found = listed(folder)
    assert [one.name for one in found] == ["cat/a.png", "cat/b.png", "d.png", "dog/e.png", "yak/c.png"]
    assert [one.true_label for one in found] == [0, 0, None, 1, None]
    assert np.array_equal((found[1].image[0] * 255).round(), grey(4)[0])


def test_a_picture_that_cannot_be_read_comes_with_the_reason(folder):
    broken = listed(folder)[3]
    assert isinstance(broken.image, ImageError)
    assert "e.png" in str(broken.image)


def test_a_picture_of_another_size_is_scaled_if_asked_for(folder):
    Image.fromarray(np.zeros((8, 10), np.uint8)).save(folder / "cat" / "a.png")
    assert isinstance(listed(folder)[0].image, ImageError)
    assert listed(folder, resize=True)[0].image.shape == SHAPE


def test_a_folder_of_other_pictures_is_another_one(folder):
    before = images_of(folder, SHAPE, NAMES).origin
    assert images_of(folder, SHAPE, NAMES).origin == before
    Image.fromarray(grey(1)[0]).save(folder / "cat" / "new.png")
    assert images_of(folder, SHAPE, NAMES).origin["digest"] != before["digest"]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no pictures in"):
        images_of(tmp_path, SHAPE, NAMES)


@pytest.mark.parametrize("scale", [1, 255])
def test_a_file_of_arrays(tmp_path, scale):
    values = grey(3) if scale == 1 else (grey(3) / 255).astype(np.float32)
    np.savez(tmp_path / "some.npz", images=values, labels=np.array([1, 0, 1]), class_names=np.array(["owl", "yak"]))
    found = listed(tmp_path / "some.npz")
    assert [one.name for one in found] == [f"some.npz:{i}" for i in range(3)]
    assert [one.true_label for one in found] == [None, 2, None], "by name: the black box knows no yaks"
    assert all(np.array_equal((one.image[0] * 255).round(), g) for one, g in zip(found, grey(3), strict=True))


def test_labels_are_numbers_where_names_have_nothing_in_common(tmp_path):
    np.savez(tmp_path / "some.npz", images=grey(3), labels=np.array([1, 0, 2]))
    assert [one.true_label for one in listed(tmp_path / "some.npz")] == [1, 0, 2]
    np.savez(tmp_path / "some.npz", images=grey(3))
    assert [one.true_label for one in listed(tmp_path / "some.npz")] == [None] * 3


def test_prepared_images_want_a_split(tmp_path):
    np.savez(tmp_path / "own.npz", images=grey(3), record=np.array("{}"))
    with pytest.raises(DataError, match=r"name a split: own.npz:test"):
        images_of(tmp_path / "own.npz", SHAPE, NAMES)


@pytest.mark.parametrize("kind", [torch.as_tensor, lambda x: ImageSet((x * 255).byte(), torch.tensor([0, 2]), NAMES)])
def test_images_that_are_there_already(kind):
    values = torch.from_numpy(grey(2)[:, None]).float() / 255
    found = listed(kind(values))
    assert all(torch.equal((255 * one.image).round(), (255 * v).round()) for one, v in zip(found, values, strict=True))
    assert [one.true_label for one in found] in ([None, None], [0, 2])


def test_one_image_that_is_none_leaves_the_others(tmp_path):
    values = torch.rand(3, *SHAPE)
    values[1, 0, 0, 0] = torch.nan
    found = listed(values)
    assert [isinstance(one.image, ImageError) for one in found] == [False, True, False]


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (torch.rand(2, 1, 3, 3), ImageError, r"got images of shape \(1, 3, 3\); expected \(C, H, W\) = \(1, 4, 5\)"),
        (torch.rand(0, *SHAPE), ParameterError, "expected at least one"),
        (torch.rand(*SHAPE), ParameterError, r"expected at least one, \(N, C, H, W\)"),
        ("nowhere", DataError, "got 'nowhere'; expected DATASET:SPLIT"),
    ],
)
def test_what_is_no_data_set_is_refused(data, error, words):
    with pytest.raises(error, match=words):
        images_of(data, SHAPE, NAMES)


@pytest.mark.parametrize(("size", "sizes"), [(2, [2, 2, 1]), (5, [5]), (9, [5])])
def test_shards_share_the_images_among_them(size, sizes):
    images = images_of(torch.rand(5, *SHAPE), SHAPE, NAMES)
    shards = list(in_shards(images, size, range(len(sizes))))
    assert [number for number, _ in shards] == list(range(len(sizes)))
    assert [len(some) for _, some in shards] == sizes
    assert [one.number for _, some in shards for one in some] == list(range(5))


def test_images_are_read_when_their_turn_comes(folder):
    shards = in_shards(images_of(folder, SHAPE, NAMES), 1, range(5))
    next(shards)
    (folder / "yak" / "c.png").unlink()
    assert isinstance(list(shards)[-1][1][0].image, ImageError)
