"""Pages: whole by themselves, readable by all, small, and unmoved by hostile names."""

import base64
import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
import torch
from support.pages import HOSTILE, Reader, explained
from support.paths import GOLDEN
from support.worlds import Identity, always_one, hard, image, quarters

from abele_py import Abele, Explanation, write_pages
from abele_py.errors import ParameterError
from abele_py.explanation.others import MOST_SHOWN, other_labels
from abele_py.views import sentences
from abele_py.views.components import document
from abele_py.views.index import write_index
from abele_py.views.page import page_of


class Photos(Identity):
    """Codes of two numbers, noisy images of 3x128x128 in colour: the most a page can be asked to hold."""

    image_shape = (3, 128, 128)
    noise = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))

    def encode(self, images):
        return (images - 0.8 * self.noise).mean(dim=1).flatten(1)[:, :2] * 5

    def decode(self, latents):
        base = latents.clamp(0, 1)[:, :, None, None]
        picture = torch.cat([base, base[:, :1]], dim=1)
        return 0.8 * self.noise + 0.2 * picture.expand(-1, 3, 128, 128)


KINDS = {
    "labels only": lambda: explained(hard),
    "scores": lambda: explained(lambda x: torch.nn.functional.one_hot(quarters(x), 4).float()),
    "logits": lambda: explained(lambda x: torch.nn.functional.one_hot(quarters(x), 4).float() * 9 - 4),
    "no counter-exemplars": lambda: explained(always_one),
    "axes": lambda: explained(splits="axis"),
    "paper": lambda: explained(preset="paper"),
    "30 labels": lambda: explained(lambda x: (x[:, 0, 0, 0] * 29.99).long(), class_names=[str(i) for i in range(30)]),
    "hostile": lambda: explained(hard, class_names=HOSTILE),
    "empty names": lambda: explained(hard, class_names=("", " ")),
    "golden": lambda: Explanation.load(GOLDEN),
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return KINDS[request.param]()


def check(text, explanation=None):
    """What must hold of every page; returns what is read of it."""
    page = Reader(text)
    for attributes in page.all(*(name for name, _ in page.elements)):
        for name, value in attributes.items():
            assert not name.startswith("on"), "no script in an attribute"
            if name in ("src", "href", "action", "data", "poster", "srcset"):
                assert value.startswith(("data:image/", "#")) or (explanation is None and "explanation.html" in value)
    assert "url(" not in text
    assert "@import" not in text
    assert not re.search(r"https?:", text), "nothing to load, nor to follow"
    assert not {name for name, _ in page.elements} & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
    }
    assert len(page.all("script")) == 1
    for picture in page.all("img"):
        assert "alt" in picture
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing["role"] == "img" and drawing["aria-label"])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a", "use"):
        assert not link["href"].startswith("#") or link["href"][1:] in ids, "links lead somewhere"
    assert [e for e in page.all("html") if e["lang"] == "en"]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"\b(nan|inf)\b", text)
    assert len(text.encode()) < 3_000_000
    return page


def test_every_kind_of_explanation_has_a_page(kind):
    page = check(kind.to_html(title="an image"), kind)
    assert f"The black box predicts {kind.name(kind.label)}" in page.text
    assert sentences.belief(kind)[1] in page.text
    assert sentences.percent(kind.trust.constant, 1) in page.text or kind.trust.n_leaves == 1
    for note in kind.notes:
        assert note.text[1:] in page.text
    for rule in kind.counterfactual_rules:
        assert all(c.words(kind.name) in page.text for c in rule.changes)
    assert kind.rule.words(kind.name) in page.text
    assert all(str(v) in page.text for v in kind.params["versions"].values())


def test_a_digit_s_page_shows_all_of_its_images(digit_explanation):
    e = digit_explanation
    text = e.to_html(title="digits-test-7")
    page = check(text, e)
    assert len(text.encode()) < 1_000_000
    alts = [picture["alt"] for picture in page.all("img")]
    assert sum(alt.startswith("Exemplar ") for alt in alts) == len(e.exemplars)
    assert sum(alt.startswith("Counter-exemplar") for alt in alts) == len(e.counter_exemplars)
    assert sum(alt.startswith("step ") for alt in alts) == e.counter_exemplars.path_labels.numel()
    assert sum(alt.startswith("coordinate ") for alt in alts) == e.traversals.labels.numel()
    assert sum(alt.startswith("What changes from ") for alt in alts) == len(e.counter_exemplars)
    assert len(page.all("use")) >= len(e.neighborhood), "every neighbor is on the map"
    for c in e.rule.conditions:
        assert f'id="c{c.axis}"' in text


def test_a_page_is_made_twice_the_same_and_changes_nothing(explanation):
    before = explanation.to_json()
    assert explanation.to_html() == explanation.to_html() == page_of(explanation)
    assert explanation.to_json() == before


def test_an_explanation_that_was_saved_has_the_same_page(explanation, tmp_path):
    assert Explanation.load(explanation.save(tmp_path / "e.npz")).to_html() == explanation.to_html()


def test_hostile_names_are_only_text():
    e = explained(hard, class_names=HOSTILE)
    for title in HOSTILE:
        plain = dataclasses.replace(e, class_names=("a", "b"))
        page, harmless = Reader(e.to_html(title=title)), Reader(plain.to_html(title="c"))
        assert [name for name, _ in page.elements] == [name for name, _ in harmless.elements]
        assert page.scripts == harmless.scripts
        assert title in page.text


def test_hostile_notes_and_parameters_are_only_text(explanation):
    note = dataclasses.replace(explained(always_one).notes[0], text=HOSTILE[0])
    e = dataclasses.replace(explanation, notes=(note,), params={**explanation.params, HOSTILE[1]: {"a": HOSTILE[0]}})
    page = check(e.to_html(), e)
    assert page.text.count(HOSTILE[0][1:]) == 2
    assert HOSTILE[1] in page.text


def test_files_of_a_time_without_traversals_have_a_page_that_says_so():
    golden = Explanation.load(GOLDEN)
    assert golden.traversals is None
    page = check(golden.to_html(), golden)
    assert "saved without pictures of its conditions" in page.text
    assert golden.rule.conditions[0].words(golden.name) in page.text


GOLDEN_TEXTS = {
    "golden-page.txt": lambda folder: Explanation.load(GOLDEN).to_html(title="golden"),
    "golden-index.txt": lambda folder: write_index({"golden": Explanation.load(GOLDEN)}, folder).read_text("utf-8"),
}


@pytest.mark.parametrize("name", GOLDEN_TEXTS)
def test_the_text_of_a_page_is_the_stored_one(name, tmp_path):
    """All words of a page, to be read as a whole. Where they change on purpose, store what the failure wrote."""
    found = Reader(GOLDEN_TEXTS[name](tmp_path)).lines()
    (tmp_path / name).write_text(found, encoding="utf-8")
    stored = GOLDEN.with_name(name)
    assert found == stored.read_text(encoding="utf-8"), f"if this is meant: cp {tmp_path / name} {stored}"


def test_a_path_is_written_whole_and_returned(explanation, tmp_path):
    path = explanation.to_html(tmp_path / "new" / "why.html", title="ü")
    assert path == tmp_path / "new" / "why.html"
    assert path.read_text(encoding="utf-8") == explanation.to_html(title="ü")
    assert [p.name for p in path.parent.iterdir()] == ["why.html"]
    assert explanation.to_html(str(path)) == path


@pytest.mark.slow
def test_large_noisy_photographs_stay_below_the_weight():
    e = explained(lambda x: (x[:, 0].mean(dim=(1, 2)) * 40).long() % 4, autoencoder=Photos(), n_exemplars=16)
    assert len(e.counter_exemplars) >= 2
    check(e.to_html(), e)


def test_what_scripts_show_is_there_without_them(explanation):
    """Controls alone wait for scripts; the policy lets run none but the page's own."""
    page = Reader(explanation.to_html())
    assert not [a for _, a in page.elements if "hidden" in a or "display:none" in a.get("style", "")]
    ranges = [a for a in page.all("input") if a["type"] == "range"]
    assert {a["class"] for a in ranges} == {"opacity", "threshold", "step"}
    (policy,) = (m["content"] for m in Reader(document("t", "c")).all("meta") if "http-equiv" in m)
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_looks_are_made_for_dark_rooms_phones_and_paper():
    style = (Path(sentences.__file__).parent / "page.css").read_text()
    for need in ("prefers-color-scheme: dark", "@media print", "max-width: 700px", ":focus-visible"):
        assert need in style


def test_several_explanations_get_an_index(explanation, tmp_path):
    names = ["one", "two & a half", "#3?.png", "javascript:alert(1)"]
    index = write_pages(dict.fromkeys(names, explanation), tmp_path / "pages")
    assert index == tmp_path / "pages" / "index.html"
    page = check(index.read_text(encoding="utf-8"))
    links = [a["href"] for a in page.all("a")]
    assert links == [
        "one-explanation.html", "two%20%26%20a%20half-explanation.html", "%233%3F.png-explanation.html",
        "javascript%3Aalert%281%29-explanation.html",
    ]  # fmt: skip
    for name in names:
        assert (index.parent / f"{name}-explanation.html").read_text(encoding="utf-8") == explanation.to_html(
            title=name
        )
        assert name in page.text
    assert sentences.HEADLINES[sentences.belief(explanation)[0]] in page.text


def test_an_index_is_replaced_only_where_nothing_is_lost(explanation, tmp_path):
    def written(*names):
        return write_index(dict.fromkeys(names, explanation), tmp_path).name

    assert written("one", "two & a half") == "index.html"
    assert written("one", "two & a half") == "index.html", "the same"
    assert written("two & a half") == "index-2.html"
    assert written("three", "one", "two & a half") == "index.html", "leads to all that it led to"
    (tmp_path / "index-2.html").write_text("<p>the user's</p>")
    (tmp_path / "index-3.html").mkdir()
    assert written("four") == "index-4.html"
    assert (tmp_path / "index-2.html").read_text() == "<p>the user's</p>"


@pytest.mark.parametrize("name", ["", ".", "a/b", "../b", "/b", "a\0b"])
def test_names_that_are_no_file_names_are_refused_before_anything_is_written(explanation, tmp_path, name):
    with pytest.raises(ParameterError, match="expected"):
        write_pages({"good": explanation, name: explanation}, tmp_path)
    with pytest.raises(ParameterError, match="expected at least one"):
        write_pages({}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_an_explanation_without_counter_exemplars(tmp_path):
    e = Abele(always_one, Identity(), n_samples=50, class_names=HOSTILE).explain(image(0.6, 0.5))
    page = check(write_index({"x": e}, tmp_path).read_text(encoding="utf-8"))
    assert "No other label found." in page.text


@pytest.fixture(scope="module")
def many():
    """36 labels, the squares of a board: rules for them have boundaries of many directions."""
    return explained(
        lambda x: ((x[:, 0, 0] * 5.99).long() * torch.tensor([6, 1])).sum(dim=1),
        class_names=[f"square {i}" for i in range(36)],
        n_samples=200,
        neighborhood="mixture",
    )


def test_of_many_labels_the_nearest_have_cards_and_the_rest_are_folded_away(many):
    others, c = other_labels(many), many.counter_exemplars
    text = many.to_html()
    page, (above, folded) = check(text, many), text.split('<details id="farther">')
    folded = folded.partition("</details>")[0]
    cards = [a["id"] for a in page.all("article")]
    assert cards == [f"to-{y}" for y in others.shown]
    assert above.count('href="#farther"') == 1
    assert [a["href"] for a in page.all("a")].count(f"#to-{others.shown[-1]}") == 1
    rest = Reader(folded)
    assert [line for line in rest.lines().splitlines() if line in map(many.name, others.rest)] == [
        many.name(y) for y in others.rest
    ]
    images = [a["alt"] for a in rest.all("img")]
    assert images == [f"Counter-exemplar: predicted as {many.name(y)}" for y in c.labels.tolist() if y in others.rest]
    assert f"Show {others.more}" in rest.text
    assert all(c.words(many.name) in page.text for rule in many.counterfactual_rules for c in rule.changes)


def test_of_many_labels_only_what_is_shown_takes_room(many):
    """Ways, strips and rings are of the nearest labels; links lead to strips that are there (see check)."""
    others, c = other_labels(many), many.counter_exemplars
    page = check(many.to_html(), many)
    alts = [picture["alt"] for picture in page.all("img")]
    shown = sum(y in others.shown for y in c.labels.tolist())
    assert 0 < shown < len(c)
    assert sum(alt.startswith("step ") for alt in alts) == shown * c.path_labels.shape[1]
    assert len([a for a in page.all("circle") if a.get("class") == "mark"]) == shown
    axes = {x.axis for x in many.rule.conditions} | {x.axis for rule in others.rules for x in rule.changes}
    assert axes < set(many.traversals.axes.tolist())
    changes = {f"#c{x.axis}" for rule in others.rules for x in rule.changes}
    assert changes <= {a["href"] for a in page.all("a")}
    assert {a["id"] for a in page.all("div") if a.get("class") == "strip"} == {f"c{axis}" for axis in axes}
    assert "Rings: the nearest counter-exemplars." in page.text


def test_the_sentence_on_changes_names_the_nearest_and_counts_the_others(many):
    names = [many.name(y) for y in many.counter_exemplars.labels.tolist()]
    farther = ", ".join(names[1:MOST_SHOWN])
    assert sentences.change(many).endswith(
        f"predicted as {names[0]}. Farther away: {farther} and {len(names) - MOST_SHOWN} more."
    )


def test_a_page_of_few_labels_has_nothing_folded_away(digit_explanation):
    assert "farther" not in {a.get("id") for a in Reader(digit_explanation.to_html()).all("details")}
    assert "more label" not in digit_explanation.to_html()
