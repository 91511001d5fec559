"""Figures: one for every kind of explanation, whatever its names, and always the same bytes."""

import dataclasses
import io
import os
import subprocess
from itertools import pairwise

import matplotlib as mpl
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from support.paths import GOLDEN
from support.worlds import Identity, always_one, hard, image, quarters

from abele_py import Abele
from abele_py.explanation.others import MOST_SHOWN, other_labels
from abele_py.views.plots import COLUMNS, show_image, show_saliency


def png(figure, dpi=60):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


class Colours(Identity):
    """Codes of two numbers, images of 3x4x4 in colour."""

    image_shape = (3, 4, 4)

    def encode(self, images):
        return images[:, :2, 0, 0].clone()

    def decode(self, latents):
        return torch.cat([latents, latents[:, :1]], dim=1).clamp(0, 1)[:, :, None, None].expand(-1, 3, 4, 4).clone()


def thirty(images):
    """30 classes: stripes of the first pixel."""
    return torch.nn.functional.one_hot((images[:, 0, 0, 0] * 29.99).long(), 30).float()


def explained(black_box, autoencoder=None, pixels=(0.6, 0.5), **options):
    autoencoder = autoencoder or Identity()
    x = autoencoder.decode(torch.tensor([pixels]))[0]
    return Abele(black_box, autoencoder, n_samples=100, **options).explain(x)


NAMES = {
    "markup": ("$x_", "<b>", "$x_$", "$\\frac{$"),
    "dollars and backslashes": ("\\n\\alpha", "%s {0} {x}", "$1 or $2_", "$$"),
    "long": ("a very long name of a class " * 5, *(f"the very long name of class {i} " * 5 for i in range(3))),
    "other scripts": ("über-Größe", "naïve café", "two\nlines", " "),
}
KINDS = {
    "scores": lambda: explained(lambda x: torch.nn.functional.one_hot(quarters(x), 4).float()),
    "labels only": lambda: explained(hard),
    "no counter-exemplars": lambda: explained(always_one),
    "colour": lambda: explained(lambda x: (x[:, 0, 0, 0] > 0.3).long(), Colours()),
    "30 classes": lambda: explained(thirty, class_names=[f"class number {i}" for i in range(30)]),
    "paper": lambda: explained(quarters, preset="paper"),
    "one exemplar": lambda: explained(hard, n_exemplars=1),
    "many exemplars": lambda: explained(hard, n_exemplars=40),
    **{name: (lambda n=names: explained(quarters, class_names=n)) for name, names in NAMES.items()},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("error:Glyph")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_explanation_has_a_figure(kind):
    figure = KINDS[kind]().plot()
    assert isinstance(figure, Figure)
    with Image.open(io.BytesIO(png(figure))) as picture:
        assert picture.size[0] > 300
        assert len(picture.getcolors(1 << 24)) > 20


@pytest.mark.slow
def test_an_explanation_without_exemplars_has_a_figure(explanation):
    empty = dataclasses.replace(explanation, exemplars=explanation.exemplars[slice(0, 0)])
    figure = empty.plot()
    assert png(figure)
    assert any("No exemplars found" in text for text in texts(figure))


def texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text)]


@pytest.fixture(scope="module")
def figure(explanation):
    return explanation.plot()


def test_the_figure_says_what_a_reader_must_know(figure):
    text = "\n".join(texts(figure))
    for word in ("bright", "fidelity", "0.80", "Rule: bright, because", "It would be dark, if", "opposes", "neutral"):
        assert word in text


@pytest.mark.slow
def test_words_over_frames_of_the_way_do_not_touch(explanation):
    page = dataclasses.replace(explanation, class_names=("normal lungs", "pneumonia")).plot()
    page.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in page.subfigs[-1].axes if axes.title.get_text()]
    assert len(boxes) > 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_notes_are_in_the_figure():
    e = explained(always_one)
    text = " ".join(" ".join(texts(e.plot())).split())
    assert e.notes
    assert all(note.text in text for note in e.notes)


def test_of_many_labels_the_figure_shows_the_nearest_and_says_so():
    e = KINDS["30 classes"]()
    others, c, found = other_labels(e), e.counter_exemplars, texts(e.plot())
    shown = [y for y in c.labels.tolist() if y in others.shown]
    assert MOST_SHOWN <= COLUMNS, "all have a place in the row"
    assert any(f"the nearest {len(shown)} of {len(c)};" in text for text in found)
    assert others.hint in found
    assert sum(text.startswith("It would be ") for text in found) == len(others.rules) < len(e.counterfactual_rules)


def test_of_few_labels_the_figure_says_nothing_of_more(figure):
    assert not [text for text in texts(figure) if "more label" in text or "the nearest 1 of" in text]


@pytest.mark.slow
def test_two_drawings_have_the_same_bytes_and_change_nothing_of_the_explanation(explanation):
    before = explanation.to_json()
    assert png(explanation.plot()) == png(explanation.plot())
    assert explanation.to_json() == before


@pytest.mark.slow
def test_drawing_touches_no_state_of_matplotlib(explanation, python):
    code = (
        "import sys, matplotlib as mpl; from abele_py import Explanation; before = dict(mpl.rcParams)\n"
        "e = Explanation.load(sys.argv[1]); e.plot().savefig(sys.argv[2], format='png')\n"
        "assert dict(mpl.rcParams) == before\n"
        "import matplotlib.pyplot as plt; assert plt.get_fignums() == []"
    )
    run = subprocess.run(
        [python, "-c", code, str(GOLDEN), os.devnull],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("channels", [1, 3])
def test_single_images_and_maps_can_be_drawn(channels):
    figure = Figure()
    axes = figure.subplots(1, 2)
    show_image(axes[0], torch.rand(channels, 5, 5), "$an image_")
    show_saliency(axes[1], torch.rand(channels, 5, 5), torch.rand(5, 5) * 2 - 1)
    assert png(figure)


def test_one_scale_of_colours_for_all_maps(figure):
    norms = {(i.norm.vmin, i.norm.vmax) for a in figure.findobj(mpl.axes.Axes) for i in a.images}
    assert norms <= {(-1.0, 1.0), (0.0, 1.0)}


def test_an_image_of_the_identity_world_is_what_these_tests_think():
    assert explained(hard).image.equal(image(0.6, 0.5))
