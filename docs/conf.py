"""The documentation site: `make docs` builds these pages with Sphinx, strictly and without a network.

The pages are plain Markdown that reads on a code host too. Links there lead to files; here those that lead out of
docs/ become links to the page that shows the file, or its name.
"""

import io
import os
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from abele_py.cli.commands import main

DOCS = Path(__file__).parent
ROOT = DOCS.parent
# Files of the project -> the pages that show them.
SHOWN = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "citing.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "citing.md",
    "notebooks/README.md": "notebooks.md",
    "training/README.md": "trained-models.md",
}

project = "abele_py"
copyright = "the abele_py authors, MIT licence"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_title = "abele_py"
pygments_dark_style = "github-dark"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False

myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_custom_sections = [("Attributes", "params_style")]  # a line may name two: "calls, images: ..."
napoleon_use_rtype = False
python_maximum_signature_line_length = 100

nitpicky = True
# Nothing is fetched, so that names of other packages lead nowhere.
nitpick_ignore_regex = [
    # Of the intervals of parameters, where they are shown.
    (r"py:.*", r"(Interval|NotEmpty|Axes|True|False|closed=|(low|high)=.*)"),
    (r"py:.*", r"(torch|np|numpy|sklearn|matplotlib|pathlib|collections|typing|nn|argparse)\..*"),
    (r"py:.*", r"abele_py\.(readers|class_autoencoders)\..*"),
    (r"py:.*", r"(Tensor|Figure|Path|Any|Callable|Iterable|Mapping|Sequence|Generator|optional|array|callable)"),
]


def with_links_of_the_site(text: str, folder: Path) -> str:
    """Markdown of a file in a folder, with its links to files of the project as they must be in the site."""

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], folder / found[2], found[3] or ""
        if not target.exists():
            return found[0]
        path = target.resolve().relative_to(ROOT).as_posix()
        named = words.strip("`") in (path, path.removeprefix("docs/"))
        if path in SHOWN or path.startswith("docs/"):  # without words, the page's title is shown
            return f"[{'' if named else words}](/{SHOWN.get(path, path).removeprefix('docs/')}{anchor})"
        return f"`{path}`" if named else f"{words} (`{path}`)"

    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)", link, text)


class CommandHelp(SphinxDirective):
    """What a command such as `abele explain --help` says, up to a line of it if one is given, as a literal block."""

    has_content = True
    option_spec = {"until": directives.unchanged}  # noqa: RUF012 - as docutils has it

    def run(self) -> list[nodes.Node]:
        os.environ["COLUMNS"] = "88"
        with redirect_stdout(io.StringIO()) as said, suppress(SystemExit):
            main(self.content[0].split()[1:])
        text = said.getvalue()
        if "until" in self.options:
            text = text.partition(self.options["until"])[0]
        return [nodes.literal_block(text, text.rstrip(), language="text")]


def setup(app: Sphinx) -> None:
    app.add_directive("abele-help", CommandHelp)

    def read_page(_: Sphinx, docname: str, source: list[str]) -> None:
        source[0] = with_links_of_the_site(source[0], (DOCS / docname).parent)

    def read_included(_: Sphinx, path: Path, docname: str, source: list[str]) -> None:
        source[0] = with_links_of_the_site(source[0], (DOCS / path).resolve().parent)

    def without_intervals(_: Sphinx, documented: object, bound: bool) -> None:
        """Show ``int``, not ``Annotated[int, Interval(...)]``: the text says the range."""
        for one in (documented, getattr(documented, "__init__", None), getattr(documented, "__wrapped__", None)):
            notes = getattr(one, "__annotations__", None)
            if isinstance(notes, dict):
                known = SimpleNamespace(__annotations__={n: a for n, a in notes.items() if not isinstance(a, str)})
                with suppress(NameError, TypeError):
                    notes.update(get_type_hints(known))

    app.connect("autodoc-before-process-signature", without_intervals)
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
