"""The number of latent coordinates: the smallest that keeps the labels, found from principal components."""

import pytest
import torch
from jsonargparse import Namespace
from support.paths import ROOT
from torch import nn

from abele_py.errors import ParameterError
from abele_py.training import latent_size
from abele_py.training.latent_size import LatentSizes, choose_latent_dim, latent_sizes
from abele_py.training.recipe import parse

PIXELS = 40


class OnePixel(nn.Module):
    """Whether one pixel is brighter than grey."""

    def __init__(self, pixel):
        super().__init__()
        self.pixel = pixel

    def forward(self, images):
        bright = images.flatten(1)[:, self.pixel] - 0.5
        return torch.stack([-bright, bright], dim=1)


def independent(n=400, seed=0):
    """Images whose pixels are independent, the first one varying most: component i is pixel i."""
    spread = torch.linspace(60, 20, PIXELS)
    noise = torch.randn(n, PIXELS, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2)
    return (128 + spread * noise).clamp(0, 255).to(torch.uint8).view(n, 1, 4, 10)


@pytest.mark.parametrize(("pixel", "expected"), [(0, 24), (30, 32), (38, 40)])
def test_a_label_needs_the_components_that_show_it(pixel, expected, monkeypatch):
    """At least as many as show half of the images: 24 of them."""
    monkeypatch.setattr(latent_size, "SIZES", (2, 8, 16, 24, 32, 40))
    found = latent_sizes(independent(4000), independent(500, 1), OnePixel(pixel))
    assert found.chosen == expected
    assert found.kept[40] == 1.0
    assert found.kept[2] == pytest.approx(1.0 if pixel == 0 else 0.5, abs=0.15)
    assert f"latent coordinates: {expected}." in str(found)


def test_where_no_number_is_enough_the_one_that_keeps_most_is_taken():
    assert LatentSizes({8: 0.3, 16: 0.8, 32: 0.8}, {8: 1.0, 16: 1.0, 32: 1.0}).chosen == 16
    assert LatentSizes({8: 0.97, 16: 0.96}, {8: 0.3, 16: 0.99}).chosen == 16, "an image that is not to be seen"


def test_a_share_that_few_images_barely_reach_is_not_enough():
    kept, seen = {8: 0.96, 16: 0.97}, {8: 1.0, 16: 1.0}
    assert LatentSizes(kept, seen, errors={8: 0.009, 16: 0.02}).chosen == 8
    assert LatentSizes(kept, seen, errors={8: 0.011, 16: 0.02}).chosen == 16


def test_shares_are_rounded_down():
    assert "8: 94.9" in str(LatentSizes({8: 0.94999}, {8: 1.0}))


def options(tmp_path, **given):
    model = Namespace(init_args=Namespace(latent_dim="auto"))
    data = Namespace(data_set="digits", limit=200)
    return Namespace(model=model, data=data, data_dir=None, download=False, seed_everything=0, resume=False, **given)


def test_the_number_is_written_into_the_options(tmp_path):
    config = options(tmp_path, black_box="digits-cnn")
    found = choose_latent_dim(config, tmp_path)
    assert config.model.init_args.latent_dim == found.chosen
    assert found.kept[found.chosen] >= 0.95


def test_a_number_is_left_as_it_is(tmp_path):
    config = options(tmp_path, black_box=None)
    config.model.init_args.latent_dim = 3
    assert choose_latent_dim(config, tmp_path) is None
    assert config.model.init_args.latent_dim == 3


def test_without_a_black_box_there_are_no_labels_to_keep(tmp_path):
    with pytest.raises(ParameterError, match=r"^got latent_dim='auto' and no black box; .* pass --black-box"):
        choose_latent_dim(options(tmp_path, black_box=None), tmp_path)


def test_a_resumed_training_keeps_its_number_and_knows_what_others_would_keep(tmp_path):
    (tmp_path / "options.json").write_text('{"model": {"init_args": {"latent_dim": 77}}}')
    config = options(tmp_path, black_box="digits-cnn")
    config.resume = True
    assert choose_latent_dim(config, tmp_path) == choose_latent_dim(options(tmp_path, black_box="digits-cnn"), tmp_path)
    assert config.model.init_args.latent_dim == 77


def test_a_recipe_that_leaves_it_open_is_parsed(capfd):
    recipe, data = ROOT / "training" / "folder-autoencoder.yaml", ["--data.data_set=digits", "--data.limit=200"]
    network = parse([f"--config={recipe}", *data, "--black_box=digits-cnn", "--model.hidden=[8]"]).model.network
    assert network.config["architecture"] == "pca"
    assert network.latent_dim in latent_size.SIZES
