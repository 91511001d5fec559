"""Pages are read, and made of hostile names."""

import html.parser

import torch

from abele_py import Abele

from .worlds import Identity, quarters

VOID = {"meta", "img", "input", "br"}
LINES = {"caption", "dd", "dt", "figcaption", "h1", "h2", "h3", "label", "li", "p", "summary", "td", "th", "title"}

HOSTILE = ("<script>alert('x')</script>", "\"'> onload=alert(1) x='&amp;</script></style></title><!--")


class Reader(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its visible text; fails where tags are not balanced."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text, self.scripts, self.words = [], [], "", [], ""
        self.feed(text)
        self.close()
        assert self.open == [], "everything is closed"

    def handle_starttag(self, name, attributes):
        assert len(dict(attributes)) == len(attributes), "no attribute twice"
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name
        self.words += "\n" * (name in LINES)

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text += data
            self.words += data

    def lines(self):
        """The visible text as lines, one for each paragraph, heading or cell: to be read, and compared as a whole."""
        return "".join(f"{' '.join(line.split())}\n" for line in self.words.splitlines() if line.strip())

    def all(self, *names):
        return [attributes for name, attributes in self.elements if name in names]


def explained(black_box=quarters, pixels=(0.6, 0.8), autoencoder=None, **options):
    autoencoder = autoencoder or Identity()
    x = autoencoder.decode(torch.tensor([pixels]))[0]
    return Abele(black_box, autoencoder, **{"n_samples": 100, **options}).explain(x)
