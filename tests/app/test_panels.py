"""The page's parts: their texts, alt texts, and hostile names that stay text."""

import dataclasses
from functools import cache

import pytest
import torch
from support.pages import HOSTILE, Reader, explained
from support.worlds import hard, quarters

from abele_py import Comparison
from abele_py.app import panels
from abele_py.app.backend import Chosen, Explained
from abele_py.app.jobs import Job
from abele_py.black_boxes.black_box import Answer
from abele_py.errors import ImageError
from abele_py.latent.space import Points

PARTS = ("progress", "refusal", "preview", "summary", "report", "moved", "compared")
NAMES = ("<img src=x onerror=alert(1)>", "${alert(2)} {{constructor}} `\"'</iframe>")
POINTS = Points(torch.zeros(1, 2), torch.zeros(1, 1, 1, 2), torch.tensor([1]), torch.tensor([[0.2, 0.8]]))


@cache
def parts(names):
    """Every part, with these names wherever a name can stand."""
    e = Explained(names[0], names[1], explained(hard, class_names=names))
    answer = Answer(torch.tensor([1]), torch.tensor([[0.2, 0.8]]))
    job = Job(names[0])
    job.queried = 1
    comparison = Comparison(
        e.explanation.image[None], torch.tensor([0]), None, names, {"a": names[0], "b": names[1]},
        {"a": torch.zeros(1, 1, 2)}, {"a": torch.zeros(1)}, {"b": names[0]}, {},
    )  # fmt: skip
    texts = (
        panels.progress(job),
        panels.refusal(ImageError(names[0])),
        panels.preview(Chosen(names[0], torch.zeros(1, 28, 28)), answer, names),
        panels.summary(e),
        panels.report(e.explanation.to_html(title=names[0]), names[0]),
        panels.moved(e, POINTS, True, names),
        panels.compared(comparison),
    )
    return dict(zip(PARTS, texts, strict=True))


@pytest.mark.parametrize("names", [NAMES, HOSTILE])
@pytest.mark.parametrize("part", PARTS)
def test_hostile_names_are_only_text(part, names):
    read, harmless = Reader(parts(names)[part]), Reader(parts(("a", "b"))[part])
    assert [name for name, _ in read.elements] == [name for name, _ in harmless.elements]
    assert [sorted(a) for _, a in read.elements] == [sorted(a) for _, a in harmless.elements]
    assert part == "report" or names[0] in read.text or names[1] in read.text


def test_the_report_is_the_explanation_s_own_page_in_a_closed_frame():
    page = explained(quarters).to_html(title="x")
    (frame,) = Reader(panels.report(page, "x")).all("iframe")
    assert frame["sandbox"] == "allow-scripts"
    assert frame["title"]
    assert frame["srcdoc"].replace('<base href="about:srcdoc">', "", 1) == page


def test_pictures_have_words_and_maps_too():
    for part, text in parts(("a", "b")).items():
        page = Reader(text)
        assert all("alt" in picture for picture in page.all("img")), part
    assert sum(p["alt"] == "Map of a" for p in Reader(parts(("a", "b"))["compared"]).all("img")) == 1


def test_what_cannot_be_compared_is_said():
    assert "Left out: b: a." in Reader(parts(("a", "b"))["compared"]).text


def test_progress_and_refusals_are_for_screen_readers_too():
    found = parts(("a", "b"))
    assert Reader(found["progress"]).all("p")[0]["role"] == "status"
    assert "a: the black box was queried for 1 image …" in Reader(found["progress"]).text
    assert Reader(found["refusal"]).all("p")[0]["role"] == "alert"
    assert "Waiting" in panels.progress(Job(""))


def test_many_labels_do_not_fill_the_page():
    scores = torch.linspace(0, 1, 400)[None]
    many = dataclasses.replace(POINTS, labels=torch.tensor([399]), scores=scores)
    e = Explained("x", "y", explained(quarters))
    assert len(Reader(panels.moved(e, many, False, ())).all("tr")) == panels.MOST_BARS
    assert "may mean little" in panels.moved(e, many, False, ())
    labels_only = dataclasses.replace(POINTS, scores=None)
    assert Reader(panels.moved(e, labels_only, True, ())).all("tr") == []
