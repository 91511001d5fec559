"""The page, tables and plots of a run's summary: whole, closed to hostile names, and bounded."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.pages import HOSTILE, Reader
from support.runs import failed, mixed, row, write_run

from abele_py.distributed import summarize
from abele_py.distributed.run_file import read_run
from abele_py.errors import PlaceError
from abele_py.explanation.options import Options
from abele_py.views import summary_files, write_summary
from abele_py.views.summary_graph import border_graph, most_bordering
from abele_py.views.summary_page import page_of_summary
from abele_py.views.summary_parts import Shown, command_for
from abele_py.views.summary_plots import plots_of_summary
from abele_py.views.summary_tables import TABLES, tables_of_summary


def page_of(folder, pictures=None):
    return page_of_summary(Shown(summarize(folder), pictures or {}, ".."))


def read(folder):
    return Reader(page_of(folder))


def picture(shade=128, kind="PNG"):
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, kind)
    return file.getvalue()


def pictured(rows):
    """Rows with pictures of their own."""
    return [
        r if "error" in r else r | {
            "image": picture(r["index"]), "map_picture": picture(1), "reconstruction": picture(2),
            "counter_exemplar_images": [picture(3)],
        }
        for r in rows
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", mixed())


def test_the_page_answers_first_and_has_all_sections(folder):
    page = read(folder)
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids == ["trust", "mistakes", "borders", "classes", "failed", "images", "made"]
    questions = page.text[: page.text.index("Each explanation was checked")]
    for question in ("Can the explanations be believed?", "How often is it right?", "Which classes are closest?"):
        assert question in questions
    assert "2 of 40 images could not be explained" in questions


def test_every_link_of_the_page_leads_somewhere(folder):
    page = read(folder)
    known = {attributes.get("id") for _, attributes in page.elements}
    inner = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert inner
    assert set(inner) <= known
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_loads_nothing_and_runs_its_own_script_alone(folder):
    page = read(folder)
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert len(page.scripts) == 1
    assert all(a["src"].startswith("data:") for a in page.all("img"))
    assert not page.all("link", "iframe", "object")
    assert "http" not in re.sub(r"data:[^\"]*", "", page_of(folder)).replace("http-equiv", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(tmp_path, name):
    rows = [r | {"name": f"{name}{r['index']}", "notes": [name]} for r in mixed(12) if "error" not in r]
    rows.append(failed(99, name, name) | {"name": name})
    names = (name, f"{name}2", "c")
    data = {"source": name, "n": 11, "digest": name}
    named = {"autoencoder": name, "black_box": name}
    folder = write_run(tmp_path, rows, names, data=data, named=named, models={"black_box": {"name": name}})
    page = read(folder)
    assert len(page.scripts) == 1
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert page.text.count(name) > 20


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return summarize(write_run(tmp_path_factory.mktemp("plain"), [row(0, 0, 1, [(1, 1.0)]), row(1, 1, 1, [(0, 1.0)])]))


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_name_is_shown(plain, name, other):
    entries = tuple(replace(entry, name=name, notes=(other,)) for entry in plain.listed)
    run = replace(plain.run, class_names=(name, other), data={"source": name}, named={"black_box": other})
    page = Reader(page_of_summary(Shown(replace(plain, listed=entries, least=entries, run=run), {}, "..")))
    assert len(page.scripts) == 1


CASES = {
    "empty": ([], ("a",)),
    "all failed": ([failed(i) for i in range(3)], ("a",)),
    "one class": ([row(i) for i in range(3)], ("a",)),
    "no true labels": ([r | {"true_label": None} for r in mixed(12) if "error" not in r], ("a", "b", "c")),
    "no mistakes": ([row(i, i % 2, i % 2, [(1 - i % 2, 1.0)]) for i in range(4)], ("a", "b")),
    "no counter-exemplars": ([row(0, 0, 1), row(1, 1, 0)], ("a", "b")),
    "no codes": ([row(0, latent=None), row(1, 1, latent=None)], ("a", "b")),
    "nothing measured": (
        [row(0, held_out=None, constant=None, probability=None, map=None, verdicts=None, notes=None)], ("a",),
    ),
    "no names": ([row(0, 3, 4, [(4, 1.0)])], ()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_run_of_any_kind_has_a_page_tables_and_plots(tmp_path, case):
    rows, names = CASES[case]
    folder = write_run(tmp_path, rows, names)
    summary = summarize(folder)
    page = read(folder)
    assert page.text
    assert "nan" not in page.text.split("How this was made")[0].lower().replace("explanan", "")
    tables = tables_of_summary(summary)
    assert pq.read_table(io.BytesIO(tables["classes.parquet"])).num_rows == len(summary.classes)
    for figure in plots_of_summary(summary).values():
        figure.savefig(io.BytesIO(), format="png", dpi=20)


@pytest.mark.parametrize("k", [2, 200])
def test_two_classes_and_two_hundred(tmp_path, k):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(2 * k):
        label = i % k
        others = [(c, float(d)) for c, d in zip(rng.permutation(k)[:9].tolist(), sorted(rng.random(9)), strict=False)]
        true = label if i < k else (label + 1) % k
        rows.append(row(i, label, true, [o for o in others if o[0] != label] or [((label + 1) % k, 1.0)]))
    folder = write_run(tmp_path, rows, [f"class {i}" for i in range(k)], shard_size=64)
    text = page_of(folder)
    page = Reader(text)
    assert len(text) < 3_000_000
    assert len(page.all("article")) <= 60 + 24
    assert ("classes.csv has all" in page.text) == (k == 200)
    assert len(plots_of_summary(summarize(folder))) == 4


def test_the_list_of_images_has_what_filters_need(folder):
    page = read(folder)
    rows = [a for a in page.all("tr") if "data-index" in a]
    summary = summarize(folder)
    assert [int(a["data-index"]) for a in rows] == [e.index for e in summary.listed]
    for a, e in zip(rows, summary.listed, strict=True):
        assert (a["data-label"], a["data-true"]) == (str(e.label), str(e.true_label))
        assert a["data-right"] == ("yes" if e.is_right else "no")
        assert a.get("data-notes", "").split() == list(e.notes)
    by = [a["data-by"] for a in page.all("select") if "data-by" in a]
    assert by == ["label", "true", "right", "grade", "notes"]


@pytest.mark.parametrize(
    ("name", "run", "command"),
    [
        ("digits:test:7", {}, "abele explain digits:test:7 --autoencoder digits --black-box digits-cnn --html"),
        (
            "x.npz:val:7",
            {"data": {"source": "x.npz:val"}, "named": {"data": "my data/x.npz:val:100"}},
            "abele explain 'my data/x.npz:val:7' --autoencoder digits --black-box digits-cnn --html",
        ),
        (
            "cats/1 2.png",
            {"data": {"source": "photos"}, "named": {"data": "all/photos"}},
            "abele explain 'all/photos/cats/1 2.png' --autoencoder digits --black-box digits-cnn --html",
        ),
        (
            "$(rm x).png",
            {"data": {"source": "-p"}, "named": {"data": "-p"}},
            "abele explain './-p/$(rm x).png' --autoencoder digits --black-box digits-cnn --html",
        ),
        (
            "digits:test:7",
            {"options": Options(neighborhood="random", n_samples=200, random_state=3).as_params() | {"target": 4}},
            "abele explain digits:test:7 --autoencoder digits --black-box digits-cnn --samples 200 --seed 3 --target 4 "
            "--neighborhood random --html",
        ),
        ("x.npz:7", {"data": {"source": "x.npz"}, "named": {"data": "x.npz"}}, None),
        ("images:7", {"data": {"source": "images"}, "named": {}}, None),
    ],
)  # fmt: skip
def test_the_command_that_explains_an_image(tmp_path, name, run, command):
    models = {"data": "digits:test", "autoencoder": "digits", "black_box": "digits-cnn"}
    named = models | run["named"] if run.get("named") else run.get("named", models)
    folder = write_run(tmp_path, [], **run | {"named": named})
    assert command_for(read_run(folder), name) == command


def test_a_row_leads_to_a_stored_explanation_or_says_what_to_do(tmp_path):
    folder = write_run(tmp_path, [row(0), row(1)], shard_size=1, keep="full", named={})
    place = folder / "explanations" / "00000001"
    place.mkdir(parents=True)
    (place / "1.npz").write_bytes(b"")
    page = read(folder)
    assert [a["href"] for a in page.all("a") if "npz" in a["href"]] == ["../explanations/00000001/1.npz"]
    assert "explain image 0 again in Python" in page.text


# Files


def test_files_are_written_whole_and_the_same_again(folder):
    page = write_summary(folder)
    place = folder / "summary"
    names = {path.name for path in place.iterdir()}
    tables = {f"{name}.{kind}" for name in TABLES for kind in ("parquet", "csv")}
    assert names == {"abele.json", "summary.html", *tables, *(f"{name}.png" for name in summary_files.PLOTS)}
    assert page == place / "summary.html"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    write_summary(folder)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_another_summary_takes_the_place_of_an_earlier_one(folder, tmp_path):
    write_summary(folder, tmp_path / "out")
    other = write_run(tmp_path / "other", [row(0)])
    write_summary(other, tmp_path / "out")
    assert not (tmp_path / "out" / "mistakes.png").exists()
    assert "mistakes" not in {a["id"] for a in Reader((tmp_path / "out/summary.html").read_text()).all("section")}


@pytest.mark.parametrize("what", ["notes.txt", "summary.html"])
def test_what_is_not_ours_is_kept(folder, what):
    (folder / "summary").mkdir()
    (folder / "summary" / what).write_text("mine")
    with pytest.raises(PlaceError, match="summary"):
        write_summary(folder)
    assert (folder / "summary" / what).read_text() == "mine"


def test_tables_say_what_the_summary_says(folder):
    summary = summarize(folder)
    tables = tables_of_summary(summary)
    found = {name: pq.read_table(io.BytesIO(tables[f"{name}.parquet"])).to_pylist() for name in TABLES}
    assert [r["n"] for r in found["classes"]] == [c.trust.n for c in summary.classes]
    assert [(r["name"], r["other_name"], r["n"]) for r in found["borders"]] == [
        (summary.name(b.label), summary.name(b.other), b.n) for b in summary.borders
    ]
    assert sum(r["n"] for r in found["mistakes"]) == summary.mistakes.wrong.n
    assert [r["index"] for r in found["least-trusted"]] == [e.index for e in summary.least]
    for name, rows in found.items():
        flat = list(csv.DictReader(io.StringIO(tables[f"{name}.csv"].decode())))
        assert len(flat) == len(rows)
        assert "map" not in flat[0] or name == "least-trusted"
    assert len(found["classes"][0]["map"]) == 64


def test_pictures_that_were_kept_are_shown_within_bounds(tmp_path, monkeypatch):
    rows = pictured(mixed())
    rows[0] |= {"image": b"<script>"}
    rows[1] |= {"image": b"\x89PNG\r\n" + bytes(20_000)}
    folder = write_run(tmp_path, rows, keep="figures")
    summary = summarize(folder)
    found = summary_files.pictures_of(summary)
    assert set(found) == {e.index for e in summary.listed} - {0, 1}
    assert all(found[i].image == picture(i) for i in found)
    wrong = {e.index for c in summary.mistakes.confusions for e in c.examples}
    assert {i for i in found if found[i].other} == wrong & set(found)
    monkeypatch.setattr(summary_files, "MOST_BYTES", 500)
    few = summary_files.pictures_of(summary)
    assert 0 < sum(len(p.image) + len(p.map) + len(p.other) for p in few.values()) <= 500
    assert summary_files.pictures_of(summarize(write_run(tmp_path / "other", mixed()))) == {}


def test_the_graph_of_borders(tmp_path):
    rows = [row(0, 0, None, [(1, 1.0), (2, 2.0)]), row(1, 1, None, [(0, 1.0)]), row(2, 2, None, [(0, 3.0)])]
    summary = summarize(write_run(tmp_path, rows))
    assert most_bordering(summary) == [((0, 1), 1.0), ((0, 2), 0.5)]
    graph = Reader(border_graph(summary))
    assert len(graph.all("path")) == 2
    assert len(graph.all("circle")) == 3
    assert border_graph(summarize(write_run(tmp_path / "none", [row(0)]))) is None


def test_an_unfinished_run_is_said_to_be_one(tmp_path):
    folder = write_run(tmp_path, mixed(), data={"source": "digits:test", "n": 1000, "digest": "0"})
    assert "40 of 1,000 images" in read(folder).text
    assert json.loads((folder / "run.json").read_text())["data"]["n"] == 1000
