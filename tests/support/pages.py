"""Pages are read, and made of hostile names."""

import html.parser

import torch

from abele_py import Abele

from .worlds import Identity, quarters

VOID = {"meta", "img", "input", "br"}


HOSTILE = ("<script>alert('x')</script>", "\"'> onload=alert(1) x='&amp;</script></style></title><!--")


class Reader(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its visible text; fails where tags are not balanced."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text, self.scripts = [], [], "", []
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

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text += data

    def all(self, *names):
        return [attributes for name, attributes in self.elements if name in names]


def explained(black_box=quarters, pixels=(0.6, 0.8), autoencoder=None, **options):
    autoencoder = autoencoder or Identity()
    x = autoencoder.decode(torch.tensor([pixels]))[0]
    return Abele(black_box, autoencoder, n_samples=100, **options).explain(x)
