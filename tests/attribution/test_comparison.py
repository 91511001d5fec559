"""Comparisons: the same maps on one scale, what cannot be compared and why, files that are read back exactly."""

import io
import json
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.fuzz import examples
from support.marks import slow_if
from support.worlds import Identity, hard, image, soft

from abele_py import Abele, Comparison, compare, load_classifier
from abele_py.attribution import registry as attribution
from abele_py.attribution.registry import METHODS
from abele_py.errors import BlackBoxError, DataError, MissingExtraError, NeighborhoodError, UnknownNameError
from abele_py.explanation.saliency import on_one_scale

GRADIENT = [m.name for m in METHODS.values() if m.family == "gradient"]
QUICK = ["abele", "random-order", "edge-detector"]


def made(n=2, m=3, shape=(1, 6, 6), **changes):
    """A comparison that no method made: N images, M methods."""
    generator = torch.Generator().manual_seed(0)
    names = [f"method-{i}" for i in range(m)]
    fields = {
        "images": torch.rand(n, *shape, generator=generator),
        "labels": torch.arange(n) % 2,
        "scores": torch.rand(n, 2, generator=generator),
        "class_names": ("dark", "bright"),
        "titles": {name: f"Method number {name[7:]}" for name in names} | {"gone": "Gone", "away": "Away"},
        "maps": {name: torch.randn(n, *shape[1:], generator=generator) for name in names},
        "seconds": {name: torch.rand(n, generator=generator, dtype=torch.float64) for name in names},
        "left_out": {"gone": "gone needs gradients; use rise", "away": "Away needs gradients; use rise"},
        "params": {"random_state": 0},
    }
    return Comparison(**(fields | changes))


def content(c, seconds=True):
    arrays = [c.images, c.labels, c.scores, *c.maps.values(), *(c.seconds.values() if seconds else ())]
    rest = [c.class_names, c.titles, list(c.maps), list(c.seconds), c.left_out, c.params]
    return [None if a is None else (a.dtype, a.shape, a.numpy().tobytes()) for a in arrays], rest


def texts(figure):
    return [t for t in figure.findobj(mpl.text.Text) if t.get_text() and t.get_visible()]


def png(figure, dpi=40):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


@pytest.fixture(scope="module")
def comparison():
    return compare(image(0.6, 0.5), soft, Identity(), QUICK, class_names=("dark", "bright"))


def test_maps_are_those_of_the_methods_raw(comparison):
    x = image(0.6, 0.5)
    assert list(comparison.maps) == QUICK
    assert comparison.images.equal(x[None])
    assert comparison.labels.tolist() == [1]
    assert comparison.maps["abele"].equal(Abele(soft, Identity()).explain(x).saliency[None])
    assert comparison.maps["edge-detector"].equal(attribution.edge_detector(x, None, 1)[None])
    assert comparison.left_out == {}
    assert all(s.shape == (1,) and float(s) >= 0 for s in comparison.seconds.values())


def test_several_images_are_those_alone_in_their_order():
    pixels = [(0.6, 0.5), (0.1, 0.9), (0.9, 0.2)]
    several = compare([image(*p) for p in pixels], soft, Identity(), ["abele", "edge-detector"])
    stacked = compare(torch.stack([image(*p) for p in pixels]).numpy(), soft, Identity(), ["abele", "edge-detector"])
    assert content(several, seconds=False) == content(stacked, seconds=False)
    assert several.labels.tolist() == [1, 0, 1]
    for i, p in enumerate(pixels):
        alone = compare(image(*p), soft, Identity(), ["abele", "edge-detector"])
        assert all(several.maps[name][i].equal(alone.maps[name][0]) for name in alone.maps)


def test_abele_s_maps_are_read_from_one_explanation_of_each_image(monkeypatch):
    explained, explain = [], Abele.explain
    monkeypatch.setattr(Abele, "explain", lambda self, x: (explained.append(x), explain(self, x))[1])
    names, images = ("abele-median", "occlusion", "abele"), [image(0.6, 0.5), image(0.4, 0.5)]
    together = compare(images, soft, Identity(), names)
    assert len(explained) == 2
    assert tuple(together.maps) == tuple(together.seconds) == names
    assert together.seconds["abele"].equal(together.seconds["abele-median"])
    for name in names:
        assert together.maps[name].equal(compare(images, soft, Identity(), name).maps[name])


def test_the_same_seed_gives_the_same_bytes_whatever_the_batch_size(comparison):
    before = torch.get_rng_state()
    again = compare(image(0.6, 0.5), soft, Identity(), QUICK, batch_size=7, class_names=("dark", "bright"))
    assert content(again, seconds=False) == content(comparison, seconds=False)
    assert before.equal(torch.get_rng_state())
    other = compare(image(0.6, 0.5), soft, Identity(), QUICK, random_state=1)
    assert not other.maps["random-order"].equal(comparison.maps["random-order"])
    assert other.params["random_state"] == 1


def test_a_black_box_that_answers_labels_only_can_be_compared():
    c = compare(image(0.6, 0.5), hard, Identity(), QUICK)
    assert c.scores is None
    assert "the black box predicts 1\n" in str(c)


def test_a_forest_leaves_out_what_needs_gradients_and_keeps_the_rest(digits_models, digit_images):
    forest = load_classifier("digits-forest")
    asking = ["occlusion", "rise", "lime", "edge-detector"]
    c = compare(digit_images[7], forest, digits_models[0], [*GRADIENT, "meaningful-perturbation", *asking])
    assert list(c.maps) == asking
    assert list(c.left_out) == [*GRADIENT, "meaningful-perturbation"]
    assert all("gradient" in reason and "rise" in reason for reason in c.left_out.values())
    (titles,) = c.reasons()  # one reason for all
    assert titles == ", ".join(c.titles[name] for name in c.left_out)
    shown = " ".join(" ".join(t.get_text() for t in texts(c.plot())).split())
    assert f"Left out: {titles}: {c.reasons()[titles]}." in shown
    assert f"left out: {titles}: " in str(c)


def test_without_the_extra_the_rest_is_compared(monkeypatch, digits_models, digit_images):
    for name in ["captum", *(m for m in sys.modules if m.startswith("captum."))]:
        monkeypatch.setitem(sys.modules, name, None)
    autoencoder, classifier = digits_models
    c = compare(digit_images[7], classifier, autoencoder, ["smoothgrad", "edge-detector"])
    assert list(c.maps) == ["edge-detector"]
    assert "pip install 'abele_py[compare]'" in c.left_out["smoothgrad"]
    with pytest.raises(MissingExtraError, match="captum"):
        compare(digit_images[7], classifier, autoencoder, ["smoothgrad"])


def test_where_no_method_is_left_its_reason_is_the_error():
    with pytest.raises(BlackBoxError, match="gradients"):
        compare(image(0.6, 0.5), soft, Identity(), ["saliency", "smoothgrad"])


@pytest.mark.parametrize(("error", "kept"), [(NeighborhoodError, True), (ZeroDivisionError, False)])
def test_reasons_are_kept_and_mistakes_are_raised(error, kept, monkeypatch):
    def fails(image, black_box, target):
        raise error("none was valid")

    method = attribution.Method("mine", "Mine", "control", "a test", fails)
    monkeypatch.setitem(METHODS, "mine", method)
    if kept:
        assert compare(image(0.6, 0.5), soft, Identity(), ["mine", *QUICK]).left_out == {"mine": "none was valid"}
    else:
        with pytest.raises(error):
            compare(image(0.6, 0.5), soft, Identity(), ["mine", *QUICK])


def test_a_typo_names_the_closest_method():
    with pytest.raises(UnknownNameError, match="Did you mean 'edge-detector'"):
        compare(image(0.6, 0.5), soft, Identity(), ["abele", "edge-detecter"])


def test_progress_is_silent_where_nobody_watches(capsys):
    compare(image(0.6, 0.5), soft, Identity(), ["edge-detector"], progress=True)
    assert capsys.readouterr() == ("", "")


def test_the_text_is_a_table(comparison):
    lines = str(comparison).splitlines()
    assert lines[0] == "the black box predicts bright (0.80)"
    assert [line.rsplit(None, 1)[0] for line in lines[1:]] == ["method", "ABELE", "Random order", "Edge detector"]


@examples(12)  # each writes and reads a file
@given(
    n=st.integers(1, 3),
    m=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    scores=st.booleans(),
    names=st.tuples(st.text(), st.text()),
    reason=st.text(),
)
def test_what_is_saved_is_read_back_exactly(tmp_path_factory, n, m, channels, scores, names, reason):
    c = made(
        n, m, (channels, 3, 4), class_names=names, left_out={"gone": reason}, **({} if scores else {"scores": None})
    )
    path = c.save(tmp_path_factory.mktemp("c") / "c.npz")
    assert content(Comparison.load(path)) == content(c)


def test_a_comparison_tells_what_was_compared(tmp_path, comparison):
    told = comparison.provenance
    assert told["black_box"]["name"] == "support.worlds.soft"
    assert told["autoencoder"]["type"] == "support.worlds.Identity"
    assert told["images"] == [Abele(soft, Identity()).explain(image(0.6, 0.5)).provenance["image"]]
    more = comparison.with_provenance(images=[{"specification": "a.png"}])
    assert more.provenance["images"] == [told["images"][0] | {"specification": "a.png"}]
    assert Comparison.load(more.save(tmp_path / "c.npz")).provenance == more.provenance
    assert more.repeats(comparison), "the same question and answer"


def test_arrays_stand_in_the_file_under_their_own_names(tmp_path, comparison):
    with np.load(comparison.save(tmp_path / "new" / "c.npz"), allow_pickle=False) as archive:
        assert set(archive.files) == {"comparison", "images", "labels", "scores"} | {
            f"{kind}.{name}" for kind in ("maps", "seconds") for name in QUICK
        }
        assert np.array_equal(archive["maps.abele"], comparison.maps["abele"].numpy())
        assert json.loads(str(archive["comparison"]))["titles"]["abele"] == "ABELE"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["c.npz"]
    assert Comparison.load(tmp_path / "new" / "c.npz").plot().get_axes()


def test_what_is_no_comparison_is_a_clear_error(tmp_path, comparison, explanation):
    whole = comparison.save(tmp_path / "c.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    explanation.save(tmp_path / "explanation.npz")
    np.savez(tmp_path / "new.npz", comparison=np.array('{"schema": 99, "methods": []}'))
    for name in ("half.npz", "explanation.npz", "new.npz", "none.npz", "."):
        with pytest.raises(DataError, match=r"no readable comparison.*Comparison\.save"):
            Comparison.load(tmp_path / name)


KINDS = {
    "one image, one method": lambda: made(1, 1),
    "one image, many methods": lambda: made(1, 20),
    "many images, many methods": lambda: made(3, 9),
    "wide colours": lambda: made(2, 3, (3, 8, 30)),
    "tall": lambda: made(1, 3, (1, 30, 8)),
    "labels only": lambda: made(scores=None),
    "numbers for names": lambda: made(class_names=()),
    "long names": lambda: made(class_names=("a very long name of a class " * 3, "another " * 9)),
    "markup": lambda: made(class_names=("$x_", "\\frac{$")),
    "long reason": lambda: made(left_out={"gone": "word " * 90}),
    "nothing left out": lambda: made(left_out={}),
    "zero map": lambda: made(1, 1, maps={"method-0": torch.zeros(1, 6, 6)}),
}


QUICK_KINDS = {"tall", "markup"}


@pytest.mark.parametrize("kind", slow_if(lambda kind: kind not in QUICK_KINDS, KINDS))
def test_all_that_is_written_lies_on_the_page(kind):
    c = KINDS[kind]()
    figure = c.plot()
    content = png(figure)
    for text in texts(figure):
        box = text.get_window_extent()
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    with Image.open(io.BytesIO(content)) as picture:
        assert len(picture.getcolors(1 << 24)) > 20


@pytest.mark.parametrize(
    ("n", "m", "columns", "strips"),
    slow_if(lambda case: case[1] > 7, [(1, 20, 7, 3), (2, 7, 6, 2), (2, 7, 7, 1), (1, 8, 7, 2), (1, 3, 1, 3)]),
)
def test_rows_are_images_and_methods_continue_below(n, m, columns, strips):
    c = made(n, m)
    figure = c.plot(columns=columns)
    drawn = [a for a in figure.get_axes() if a.images]
    assert len(drawn) == n * (m + strips)  # each strip begins with the originals
    widest = -(-m // strips) + 1
    assert len({round(a.get_position().x0, 6) for a in drawn}) == widest
    assert len({round(a.get_position().y0, 6) for a in drawn}) == n * strips
    boxes = [a.get_position() for a in drawn]
    assert not any(a is not b and a.overlaps(b) for a in boxes for b in boxes)
    titles = [" ".join(t.get_text().split()) for t in texts(figure)]
    assert all(titles.count(c.titles[name]) == 1 for name in c.maps)
    assert titles.count("Predicted as") == strips


def test_all_maps_are_drawn_on_the_documented_scale():
    c = made(2, 2, maps={"method-0": torch.randn(2, 6, 6) * 1000, "method-1": torch.randn(2, 6, 6) / 1000})
    drawn = [i for a in c.plot().get_axes() for i in a.images if i.get_cmap().name == "RdBu_r"]
    assert {(i.norm.vmin, i.norm.vmax) for i in drawn} == {(-1.0, 1.0)}
    expected = [on_one_scale(c.maps[name][i]) for i in range(2) for name in c.maps]
    assert all(np.allclose(i.get_array(), e.numpy()) for i, e in zip(drawn, expected, strict=True))


def test_the_figure_says_what_a_reader_must_know():
    maps = {"abele-median": torch.randn(1, 6, 6), "method-0": torch.rand(1, 6, 6), "method-1": torch.zeros(1, 6, 6)}
    c = made(1, 2, maps=maps, titles=made(1, 2).titles | {"abele-median": "ABELE, median"})
    shown = " ".join(" ".join(t.get_text() for t in texts(c.plot())).split())
    for words in (
        "dark (0.",
        "99 % quantile",
        "opposes",
        "neutral",
        "Without values below 0, so that nothing opposes the label: Method number 0, Method number 1.",
        "ABELE, median, shows what may vary",
        "0 everywhere",
        "Left out: Gone, Away: needs gradients; use rise.",
    ):
        assert words in shown


def test_drawings_have_the_same_bytes_and_the_overlay_is_optional():
    c = made(1, 2)
    over = png(c.plot())
    assert png(c.plot()) == over
    assert png(c.plot(overlay=False)) != over
    white = [a.images[0].get_array() for a in c.plot(overlay=False).get_axes() if len(a.images) == 2]
    assert len(white) == 2
    assert all(bool((w == 1).all()) for w in white)
    assert c.plot()._repr_png_().startswith(b"\x89PNG")
