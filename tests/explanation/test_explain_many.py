"""Many explanations: each as if it were alone, in order, as far as they are wanted."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import pytest
import torch
from PIL import Image
from support.worlds import Identity, hard, soft

from abele_py import Abele
from abele_py.errors import ImageError, NeighborhoodError
from abele_py.storage.files import read_npz

FEW = {"n_samples": 100}
IMAGES = torch.rand(7, 1, 1, 2, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("together", [None, 1, 3])
@pytest.mark.parametrize("options", [{}, {"preset": "paper"}, {"saliency": "contrast", "neighborhood": "between"}])
@pytest.mark.parametrize("black_box", [soft, hard])
def test_each_is_what_it_is_alone(black_box, options, together):
    explainer = Abele(black_box, Identity(), **FEW, **options)
    many = [e.to_json() for e in explainer.explain_many(IMAGES, together=together)]
    assert many == [explainer.explain(x).to_json() for x in IMAGES]


def test_digits_have_the_same_arrays_side_by_side_and_alone(digits_models, digit_images, tmp_path):
    """The networks' rows too, in whatever batches, to the byte."""
    autoencoder, classifier = digits_models
    explainer = Abele(classifier, autoencoder, n_samples=150)
    for many, x in zip(explainer.explain_many(digit_images[:4]), digit_images, strict=False):
        files = tmp_path / "many.npz", tmp_path / "alone.npz"
        for e, file in zip((many, explainer.explain(x)), files, strict=True):
            e.save(file)
        (arrays, told), (arrays_alone, told_alone) = map(read_npz, files)
        assert told == told_alone
        assert list(arrays) == list(arrays_alone)
        assert all(arrays[name].tobytes() == arrays_alone[name].tobytes() for name in arrays)
        assert files[0].stat().st_size == files[1].stat().st_size


def test_images_are_read_as_far_as_they_are_wanted_and_progress_is_told():
    read, told = [], []

    def endless():
        for i in count():
            read.append(i)
            yield IMAGES[i % len(IMAGES)]

    found = Abele(soft, Identity(), **FEW).explain_many(endless(), None, lambda *done: told.append(done), together=2)
    assert (read, told) == ([], [])
    next(found), next(found), next(found)
    assert read == [0, 1, 2, 3]
    assert told == [(1, None), (2, None), (3, None)]
    told.clear()
    list(Abele(soft, Identity(), **FEW).explain_many(IMAGES[:2], progress=lambda *done: told.append(done)))
    assert told == [(1, 2), (2, 2)]


def test_one_that_cannot_be_explained_ends_all_or_only_itself():
    explainer = Abele(soft, Identity(), **FEW)
    images = [IMAGES[0], IMAGES[1] + 5, IMAGES[2]]
    found = explainer.explain_many(images)
    assert next(found).to_json() == explainer.explain(IMAGES[0]).to_json()
    with pytest.raises(ImageError, match="pixels from 5"):
        next(found)
    first, error, third = explainer.explain_many(images, errors="yield")
    assert isinstance(error, ImageError)
    assert [e.to_json() for e in (first, third)] == [explainer.explain(IMAGES[i]).to_json() for i in (0, 2)]
    with pytest.raises(NeighborhoodError):
        Abele(soft, Identity("none"), **FEW).explain(IMAGES[0])


@pytest.mark.parametrize("one", [IMAGES[0], IMAGES[0].numpy(), "picture.png"])
def test_one_image_is_refused_with_what_to_call(one):
    with pytest.raises(ImageError, match=r"got one image.*call explain\(image\)"):
        Abele(soft, Identity(), **FEW).explain_many(one)


def test_many_images_are_refused_by_explain_with_what_to_call():
    with pytest.raises(ImageError, match=r"explain_many\(images\)"):
        Abele(soft, Identity(), **FEW).explain(IMAGES)


def test_an_image_may_be_a_picture_or_a_path(tmp_path):
    explainer = Abele(soft, Identity(), **FEW)
    pixels = np.array([[51, 204]], dtype=np.uint8)
    picture, path = Image.fromarray(pixels), tmp_path / "x.png"
    picture.save(path)
    expected = explainer.explain(torch.from_numpy(pixels / 255)[None]).to_json()
    assert [e.to_json() for e in explainer.explain_many([picture, path, str(path)])] == [expected] * 3
    with pytest.raises(ImageError, match=r"2x1 pixels.*resize|4x2.*picture.resize\(\(2, 1\)\)"):
        explainer.explain(picture.resize((4, 2)))
    with pytest.raises(ImageError, match="of type bytes"):
        explainer.explain(b"x")


def test_threads_may_share_an_explainer(digits_models, digit_images):
    autoencoder, classifier = digits_models
    explainer = Abele(classifier, autoencoder, n_samples=60, n_landmarks=200)
    parts = digit_images[:2], digit_images[2:4], digit_images[:2]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda images: [e.to_json() for e in explainer.explain_many(images)], parts))
    assert found == [[explainer.explain(x).to_json() for x in images] for images in parts]
