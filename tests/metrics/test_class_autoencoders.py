"""Class autoencoders: each knows its own class, all are the same each time, and what is saved is what is loaded."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.worlds import seeded

from abele_py.datasets.loading import load_split
from abele_py.errors import CheckpointError, ImageError, ParameterError
from abele_py.metrics.class_autoencoders import ClassAutoencoders, fit_class_autoencoders


def halves(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Class 0 is bright on the left, class 1 on the right; (n, 1, 4, 4), brightness 0.5 to 1."""
    labels = torch.arange(n) % 2
    images = torch.zeros(n, 1, 4, 4)
    brightness = 0.5 + 0.5 * torch.rand(n, 1, 1, generator=seeded())
    images[labels == 0, :, :, :2] = brightness[labels == 0][..., None]
    images[labels == 1, :, :, 2:] = brightness[labels == 1][..., None]
    return images, labels


def error(autoencoders: ClassAutoencoders, images: torch.Tensor, label: int | None) -> torch.Tensor:
    return (autoencoders.reconstruct(images, label) - images).square().flatten(1).sum(dim=1)


@pytest.fixture(scope="module")
def fitted():
    return fit_class_autoencoders(*halves(), 2, steps=150, batch_size=16, seed=3)


def test_each_knows_its_own_class_and_the_last_knows_all(fitted):
    images, labels = halves()
    own = torch.where(labels == 0, error(fitted, images, 0), error(fitted, images, 1))
    other = torch.where(labels == 0, error(fitted, images, 1), error(fitted, images, 0))
    assert bool((own < 0.1 * other).all())
    assert bool((error(fitted, images, None) < 0.2 * other).all())
    assert fitted.n_classes == 2


@pytest.mark.slow
def test_on_digits_that_were_not_seen_the_own_class_reconstructs_best(digit_images):
    train = load_split("digits", "train")
    labels = load_split("digits", "test").labels
    autoencoders = fit_class_autoencoders(train.images, train.labels, 10, steps=60)
    errors = torch.stack([error(autoencoders, digit_images, label) for label in range(10)])
    own = errors[labels, torch.arange(len(labels))]
    others = torch.ones_like(errors, dtype=torch.bool)
    others[labels, torch.arange(len(labels))] = False
    ratio = own / errors
    assert float(ratio[others].mean()) < 0.6  # IM1 of real images: t against another class
    assert float((1 / ratio)[others].mean()) > 2  # and of images of y that claim to be t


def test_a_reconstruction_is_the_formula(fitted):
    images = torch.rand(5, 1, 4, 4, generator=seeded())
    for label, which in ((0, 0), (1, 1), (None, 2)):
        rows = images.flatten(1)
        for weight, bias in zip(fitted.weights[:-1], fitted.biases[:-1], strict=True):
            rows = (rows @ weight[which] + bias[which]).clamp(min=0)
        rows = torch.sigmoid(rows @ fitted.weights[-1][which] + fitted.biases[-1][which])
        given = fitted.reconstruct(images, label)
        assert given.dtype == torch.float32
        torch.testing.assert_close(given, rows.reshape(5, 1, 4, 4), rtol=1e-5, atol=1e-6)
    assert fitted.reconstruct(images[:0], 1).shape == (0, 1, 4, 4)


def test_fitted_alone_an_autoencoder_learns_the_same():
    """Being trained beside others changes nothing: the gradient of the sum is that of each."""
    images, labels = halves()
    seen = []
    together = fit_class_autoencoders(images, labels, 2, steps=1, batch_size=4, progress=lambda *p: seen.append(p))
    assert seen == [(1, 1)]
    changed = images.clone()
    changed[labels == 1] = 0.3
    apart = fit_class_autoencoders(changed, labels, 2, steps=1, batch_size=4)
    for a, b in zip(together.weights, apart.weights, strict=True):
        assert torch.equal(a[0], b[0])
        assert not torch.equal(a[1], b[1])


def test_bytes_and_fractions_are_the_same_images():
    images = (halves()[0] * 255).byte()
    labels = halves()[1]
    a = fit_class_autoencoders(images, labels, 2, steps=3)
    b = fit_class_autoencoders(images.float() / 255, labels, 2, steps=3)
    assert all(torch.equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))


def test_fitting_is_the_same_each_time_and_leaves_the_random_state_and_the_images(fitted):
    images, labels = halves()
    state, copy = torch.get_rng_state(), images.clone()
    with torch.no_grad():
        again = fit_class_autoencoders(images, labels, 2, steps=150, batch_size=16, seed=3)
    other = fit_class_autoencoders(images, labels, 2, steps=1, batch_size=16, seed=4)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(images, copy)
    for a, b, c in zip(fitted.weights, again.weights, other.weights, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        assert not a.requires_grad


def test_saved_and_loaded_they_are_the_same(fitted, tmp_path):
    path = fitted.save(tmp_path / "new" / "autoencoders.safetensors")
    fitted.save(path)  # over an earlier one
    assert [p.name for p in path.parent.iterdir()] == ["autoencoders.safetensors"]
    loaded = ClassAutoencoders.load(path)
    assert loaded.image_shape == (1, 4, 4)
    for a, b in zip((*fitted.weights, *fitted.biases), (*loaded.weights, *loaded.biases), strict=True):
        assert torch.equal(a, b)


def test_a_file_that_is_missing_damaged_or_something_else_is_refused(fitted, tmp_path):
    path = tmp_path / "autoencoders.safetensors"
    with pytest.raises(CheckpointError, match="cannot be read"):
        ClassAutoencoders.load(path)
    content = fitted.save(path).read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(CheckpointError, match="cannot be read"):
        ClassAutoencoders.load(path)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="damaged"):
        ClassAutoencoders.load(path)
    path.write_bytes(content)
    save_file(load_file(path), path)
    with pytest.raises(CheckpointError, match="schema None"):
        ClassAutoencoders.load(path)


def test_refusals(fitted):
    images, labels = halves()
    with pytest.raises(ImageError, match=r"expected \(N, 1, 4, 4\)"):
        fitted.reconstruct(torch.zeros(1, 1, 5, 4), 0)
    with pytest.raises(ParameterError, match="got the label 2"):
        fitted.reconstruct(images, 2)
    with pytest.raises(ParameterError, match="each of the 3 classes"):
        fit_class_autoencoders(images, labels, 3, steps=1)
    with pytest.raises(ParameterError, match="each of the 1 classes"):
        fit_class_autoencoders(images, labels, 1, steps=1)
    with pytest.raises(ParameterError, match="steps=0"):
        fit_class_autoencoders(images, labels, 2, steps=0)
