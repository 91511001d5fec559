"""README and the pages of docs/: every block of code in them runs or says why not, and they build into a site.

The site is built strictly, needs no network, and shows its pictures with words for those who do not see them.
"""

import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image
from support.commands import PAIR
from support.paths import ROOT
from support.real_data import data_dir_of

from abele_py.cli.commands import main
from abele_py.cli.parser import parser
from abele_py.datasets.catalog import DATASETS
from abele_py.datasets.loading import load_split

DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))}
# Pages whose code other tests run, with what it needs: servers, files, trainings, several processes.
ELSEWHERE = {
    "black-boxes.md": "black_boxes/test_loading.py",
    "data-sets.md": "datasets/test_downloads.py",
    "own-images.md": "training/test_chain.py",
    "training.md": "training/test_devices.py",
}
NOT_RUN = "# not run here: "
CODE = re.compile(r"^```(python|bash)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", flags=re.MULTILINE | re.DOTALL)
KNOWN = ("abele ", "make ", "pip install")  # make and pip are what CI itself does


def blocks(page, language):
    """The code of a page, each block with the output that is shown of it."""
    found = [(code, said) for kind, code, said in CODE.findall(PAGES[page]) if kind == language]
    return [(code, said) for code, said in found if not code.startswith(NOT_RUN)]


def commands(page):
    lines = "".join(code for code, _ in blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip()]


RUN = [page for page in PAGES if page not in ELSEWHERE]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")  # Lightning's
@pytest.mark.parametrize("page", [page for page in RUN if blocks(page, "python")])
def test_python_of_a_page_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DATASETS, "parity", None)  # what a page adds is gone afterwards
    names = {"__name__": "page"}
    for code, shown in blocks(page, "python"):
        capsys.readouterr()
        exec(compile(code, page, "exec"), names)
        said = capsys.readouterr().out
        if shown:
            assert without_numbers(said) == without_numbers(shown), said
            assert numbers(said) == pytest.approx(numbers(shown), abs=0.1), said


def without_numbers(text):
    return re.sub(r"-?\d+(\.\d+)?", "0", text)


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


@pytest.mark.slow
@pytest.mark.parametrize("command", dict.fromkeys(c for page in RUN for c in commands(page) if c.startswith("abele ")))
def test_command_of_a_page_runs(command, tmp_path, monkeypatch, request):
    if command != "abele demo":
        request.getfixturevalue("blank_figures")
    shutil.copytree(ROOT / "training", tmp_path / "training")
    monkeypatch.chdir(tmp_path)
    if "mnist:" in command:
        monkeypatch.setenv("ABELE_DATA_DIR", str(data_dir_of("mnist")))
    arguments = shlex.split(command)[1:]
    if arguments[0] == "app":  # it runs until it is ended: app/test_served.py starts it, uses it and ends it
        parser().parse_args(arguments)
        return
    if arguments[0] == "demo":  # of one digit
        arguments += ["--images=1"]
    if arguments[0] == "compare":  # all methods, of one image
        arguments = [word for word in arguments if word != "digits:test:44"]
    if arguments[0] == "train":  # the real recipe, two steps
        arguments += ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    if "my_images/" in command:
        digits = load_split("digits", "train")
        for number, (image, label) in enumerate(zip(digits.images[:300], digits.labels, strict=False)):
            (tmp_path / "my_images" / str(int(label))).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(tmp_path / "my_images" / str(int(label)) / f"{number}.png")
    if arguments[0] == "explain-dataset":  # two images
        arguments[1] += ":2"
    if arguments[0] in ("summary", "similar"):
        folder = arguments[-1]
        assert main(["explain-dataset", "digits:test:2", *PAIR, "--out", folder]) == 0
    if arguments[0] == "evaluate":  # the same on one image
        arguments[1] = arguments[1].rpartition(":")[0] + ":1"
        arguments += ["--costly-images=1", "--parts=surrogate,saliency"]
        arguments += [] if "--methods" in arguments else ["--methods=abele,edge-detector"]
        request.getfixturevalue("blank_reports")
    assert main(arguments) == 0


@pytest.mark.parametrize("page", RUN)
def test_commands_of_a_page_are_all_tried(page):
    assert [c for c in commands(page) if not c.startswith(KNOWN)] == []


def test_commands_of_the_page_of_black_boxes_are_understood():
    """Its files and servers are tested with black_boxes/test_loading.py; here the commands, as they stand."""
    for command in commands("black-boxes.md"):
        parser().parse_args(shlex.split(command)[1:])


def test_what_is_not_run_says_why():
    for text in PAGES.values():
        for _, code, _ in CODE.findall(text):
            assert not code.startswith("# not run") or re.match(rf"{NOT_RUN}\w.*\n", code)


def test_pages_that_are_tested_elsewhere_are():
    for page, where in ELSEWHERE.items():
        assert page in PAGES
        assert page in (ROOT / "tests" / where).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_no_line_begins_with_a_figure(page):
    """In Markdown a comment at the beginning of a line ends the paragraph before it."""
    assert (
        re.findall(r"^ *<!-- (?:figure|sweep)%?: [^>\n]* -->[^\n<]*<!-- end -->", PAGES[page], flags=re.MULTILINE) == []
    )


def test_readme_shows_the_two_commands_first():
    assert commands("README.md")[:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo: .*\n\t.*abele demo$", makefile, flags=re.MULTILINE)
    assert re.search(r"^test: .*\n\t.*pytest -n auto --dist loadfile .*$", makefile, flags=re.MULTILINE)


# The site


class Page(HTMLParser):
    """What a page loads and where it leads; the names of places in it; its pictures without words."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.links, self.places, self.wordless = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.places |= {known[name] for name in ("id", "name") if known.get(name)}
        if tag == "a":
            self.links.append(known.get("href", ""))
        elif tag != "link" or known.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loaded += [known[name] for name in ("src", "href", "srcset", "data", "poster") if known.get(name)]
        if tag == "img" and not known.get("alt"):
            self.wordless.append(known.get("src"))


@pytest.fixture(scope="module")
def site(tmp_path_factory, python):
    """The built site, as `make docs` builds it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"^docs: .*\n\t\$\(BIN\)/python (.*)$", makefile, flags=re.MULTILINE)
    out = tmp_path_factory.mktemp("site")
    command = [python, *shlex.split(line.replace("build/docs", str(out)))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert {"index.html", "tutorial.html", "method.html", "results.html", "api/explain.html"} <= {
        path.relative_to(site).as_posix() for path in pages
    }
    for path, page in pages.items():
        assert [a for a in page.loaded if urlsplit(a).scheme not in ("", "data") or a.startswith("//")] == [], path.name
        assert page.wordless == [], path.name
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme or not address:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].places, f"{path.name}: {address}"
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", path.read_text(encoding="utf-8")), path.name


@pytest.mark.slow
def test_the_site_says_what_the_commands_say(site):
    text = (site / "command-line.html").read_text(encoding="utf-8")
    for word in ("--neighborhood", "--overlay", "--costly-images", "--resume", "usage: abele [options] demo"):
        assert word in text


def test_pictures_are_small_and_shown():
    shown = {name for text in PAGES.values() for name in re.findall(r"\]\(pictures/([\w-]+)\.png\)", text)}
    assert shown == {path.stem for path in (DOCS / "pictures").glob("*.png")}
    source = (DOCS / "pictures.py").read_text(encoding="utf-8")
    assert all(f'"{name}": ' in source for name in shown)
    assert sum(path.stat().st_size for path in (DOCS / "pictures").glob("*.png")) < 1_000_000
