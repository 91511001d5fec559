"""HTML elements: what comes from outside is text, wherever it stands."""

import html.parser

import pytest

from abele_py.views.html import Html, escaped, joined, tag

HOSTILE = [
    "<script>alert(1)</script>",
    "</script>",
    '" onclick="alert(1)',
    "'",
    "a & b",
    "&lt;",
    "<!--",
    "]]>",
    "\\",
    "",
]


class Read(html.parser.HTMLParser):
    """The elements, attributes and texts that a browser would find."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_read_back_as_it_was_and_makes_no_element(text):
    read = Read(tag("p", text, title=text, data_x=text))
    assert read.elements == [("p", {"title": text, "data-x": text})]
    assert read.text == text


def test_elements_stay_elements_however_they_are_nested():
    inner = tag("b", "x & y")
    assert tag("p", [inner, (part for part in ("<", None, 3))]) == "<p><b>x &amp; y</b>&lt;3</p>"
    assert isinstance(joined([inner, "a"]), Html)
    assert joined(None) == ""


def test_attributes():
    assert tag("input", type="range", class_="a b", min=0, checked=True, hidden=False, title=None) == (
        '<input type="range" class="a b" min="0" checked>'
    )
    assert tag("meta", name="x", http_equiv="y") == '<meta name="x" http-equiv="y">'


def test_what_is_no_text_becomes_one():
    assert escaped("a\udcffb") == "a?b"  # a file name that is no UTF-8
    escaped("ü 漢").encode()


def test_a_text_is_not_taken_for_html_because_it_looks_like_it():
    assert tag("p", str(Html("<b>"))) == "<p>&lt;b&gt;</p>"
