"""Tables, CSV, plots and pages say what the stored figures say, and nothing else."""
# ruff: noqa: RUF001 - the dash of a range is what the tables print

import csv
import io
import json
import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from abele_py.errors import ParameterError, UnknownNameError
from abele_py.evaluation.plots import plots
from abele_py.evaluation.report import report, with_tables, write_report
from abele_py.evaluation.tables import csv_text, definitions, markdown, number, tables, with_interval
from abele_py.metrics.base import Metric

METRICS = {
    "agreement": Metric("Agreement", "higher", 0, 1, "Guidotti 2018"),
    "balanced_agreement": Metric("Balanced agreement", "higher", 0, 1, "Brodersen 2010"),
    "constant": Metric("Constant answer", "neither", 0, 1, "a baseline"),
    "deletion_zero": Metric("Deletion, zero", "lower", 0, 1, "Petsiuk 2018"),
    "insertion_zero": Metric("Insertion, zero", "higher", 0, 1, "Petsiuk 2018"),
    "faithfulness_correlation": Metric("Faithfulness", "higher", -1, 1, "Bhatt 2020"),
    "stability": Metric("Stability", "lower", 0, math.inf, "Alvarez-Melis 2018"),
    "rank_correlation": Metric("Rank correlation", "lower", -1, 1, "Adebayo 2018"),
    "rule_overlap": Metric("Rule overlap", "lower", 0, 1, "Jaccard"),
    "one_nearest_neighbor": Metric("1-NN accuracy", "higher", 0, 1, "Guidotti 2019"),
    "seconds": Metric("Seconds per image", "lower", 0, math.inf, "clock"),
    "validity": Metric("Validity", "higher", 0, 1, "Guidotti 2022"),
    "rmse": Metric("RMSE", "lower", 0, 255, "root mean squared error"),
    "kurtosis": Metric("Kurtosis", "neither", -math.inf, math.inf, "Mardia 1970"),
}


def row(part, of, at, figure, mean, low=None, high=None, n=10):
    """A row; its interval is 0.02 wide on both sides if none is given, and all is null without a mean."""
    if mean is None:
        none = dict.fromkeys(("mean", "low", "high", "median", "std", "quantiles"))
        return {"part": part, "of": of, "at": at, "figure": figure, "n": 0, **none}
    low, high = (mean - 0.02, mean + 0.02) if low is None else (low, high)
    spread = [mean - 0.3, mean - 0.2, mean - 0.1, mean, mean + 0.1, mean + 0.2, mean + 0.3]
    sums = {"mean": mean, "low": low, "high": high, "median": mean, "std": 0.1, "quantiles": spread}
    return {"part": part, "of": of, "at": at, "figure": figure, "n": n, **sums}


MAPS = [
    row("saliency", "edge-detector", None, "deletion_zero", 0.1),  # better than all, but a control
    row("saliency", "lime", None, "deletion_zero", 0.25, 0.231, 0.27),
    row("saliency", "abele", None, "deletion_zero", 0.3),
    row("saliency", "edge-detector", None, "insertion_zero", 0.95),
    row("saliency", "lime", None, "insertion_zero", 0.7),
    row("saliency", "abele", None, "insertion_zero", 0.8),
    row("saliency", "lime", None, "faithfulness_correlation", None),
    row("saliency", "abele", None, "faithfulness_correlation", -0.015, -0.03, 0.01),
    row("saliency", "abele", None, "seconds", 0.5),
    row("stability", "abele", None, "stability", 1.5, n=4),
    row("stability", "lime", None, "stability", 0.0, 0.0, 0.0, n=4),
]
OTHERS = [
    row("surrogate", "surrogate", None, "leaves", 12.0, 11.0, 13.0),
    row("surrogate", "surrogate", "in-sample", "agreement", 0.95),
    row("surrogate", "surrogate", "fresh neighbors", "agreement", 0.85),
    row("surrogate", "surrogate", "fresh neighbors", "balanced_agreement", 0.75),
    row("surrogate", "surrogate", "fresh neighbors", "constant", 0.55),
    *(
        row("sanity", of, f"{i} head.{9 - i}", "rank_correlation", 0.9 - i / 20)
        for i in range(12, 0, -1)
        for of in ("lime", "abele")
    ),
    row("sanity", "abele-rule", "1 head.8", "rule_overlap", 0.4),
    *(
        row("exemplars", of, k, "one_nearest_neighbor", 0.5 + k / 200)
        for k in (16, 2, 1)
        for of in ("k-medoids", "abele")
    ),
    row("counter-exemplars", "nearest-unlike", None, "validity", 0.9),
    row("counter-exemplars", "abele", None, "validity", 1.0, 1.0, 1.0),
    row("autoencoder", "autoencoder", None, "rmse", 43.21, 43.21, 43.21, n=1),
    row("autoencoder", "autoencoder", None, "kurtosis", 1.0, 1.0, 1.0, n=1),
]
SUMMARY = {
    "run": {
        "data": "digits:test",
        "data_title": "Digits",
        "n_images": 10,
        "seed": 7,
        "models": {"autoencoder": {"name": "digits"}, "black_box": {"name": "digits-cnn"}},
    },
    "left_out": {"methods": {"rise": "it asks for scores"}, "parts": {}},
    "rows": MAPS + OTHERS,
    "curves": {
        name: {f"{way}_{kind}": [0.9, 0.5, 0.1] for way in ("deletion", "insertion") for kind in ("zero", "blur")}
        for name in ("abele", "lime", "edge-detector")
    },
}


def cells(table):
    """Name of a row -> name of a column -> cell."""
    return {line[0]: dict(zip(table.head[1:], line[1:], strict=True)) for line in table.rows}


def test_abele_is_first_controls_are_last_and_the_best_of_the_rest_is_bold():
    curves, others = tables(SUMMARY, METRICS)["saliency"]
    assert curves.head == ("method", "Deletion, zero ↓", "Insertion, zero ↑")
    assert curves.rows == (
        ("ABELE", "0.300 (0.28–0.32)", "**0.800 (0.78–0.82)**"),
        ("LIME", "**0.250 (0.23–0.27)**", "0.700 (0.68–0.72)"),
        ("Edge detector", "0.100 (0.08–0.12)", "0.950 (0.93–0.97)"),
    )
    assert others.head == ("method", "Faithfulness ↑", "Stability ↓", "Seconds per image ↓")
    assert others.rows == (
        ("ABELE", "-0.015 (-0.03 to 0.01)", "1.500 (1.48–1.52)", "0.500 (0.48–0.52)"),
        ("LIME", "–", "**0.000**", "–"),
    )


def test_notes_say_how_many_images_what_signs_mean_and_what_is_missing():
    curves, others = (" ".join(table.notes) for table in tables(SUMMARY, METRICS)["saliency"])
    assert curves.startswith("N = 10 images, seed 7; in brackets the 95 % bootstrap interval of the mean; ↓ lower")
    assert "Left out: RISE: it asks for scores" in curves
    assert "– not measured" not in curves
    assert "– not measured" in others
    assert "Where N is smaller: Stability 4." in others
    assert "A constant map scores 0 in stability and coherence" in others
    assert "constant map" not in curves


def test_surrogate_has_a_table_of_places_and_one_of_the_tree():
    places, tree = tables(SUMMARY, METRICS)["surrogate"]
    assert places.head == ("where", "Agreement ↑", "Balanced agreement ↑", "Constant answer")
    assert [line[0] for line in places.rows] == ["in-sample", "fresh neighbors"]
    assert cells(places)["in-sample"]["Balanced agreement ↑"] == "–"
    assert tree.rows == (("leaves", "12.0 (11–13)"),)


def test_sanity_has_a_table_for_each_figure_with_layers_in_the_order_of_the_cascade():
    correlation, rule = tables(SUMMARY, METRICS)["sanity"]
    assert [name.split()[0] for name in correlation.head[1:]] == [str(i) for i in range(1, 13)]
    assert [line[0] for line in correlation.rows] == ["ABELE", "LIME"]
    assert "**" not in markdown([correlation]).removeprefix("**Rank correlation ↓**"), "no race"
    assert cells(rule) == {"ABELE: rule": {"1 head.8": "0.400 (0.38–0.42)"}}


def test_exemplars_go_by_number_and_ties_are_all_bold():
    (table,) = tables(SUMMARY, METRICS)["exemplars"]
    assert table.title == "1-NN accuracy ↑"
    assert table.head == ("prototypes", "k = 1", "k = 2", "k = 16")
    assert table.rows[0] == ("ABELE", "**0.505 (0.48–0.53)**", "**0.510 (0.49–0.53)**", "**0.580 (0.56–0.60)**")
    assert table.rows[1][1:] == table.rows[0][1:]


def test_counter_exemplars_and_autoencoder_have_figures_going_down():
    parts = tables(SUMMARY, METRICS)
    (counters,), (autoencoder,) = parts["counter-exemplars"], parts["autoencoder"]
    assert counters.head == ("figure", "ABELE", "nearest unlike image (real)")
    assert counters.rows == (("Validity ↑", "1.000", "0.900 (0.88–0.92)"),)
    assert autoencoder.rows == (("RMSE ↓", "43.2"), ("Kurtosis", "1.000"))
    assert autoencoder.notes == ("All images of digits:test; ↓ lower is better.",)


def test_every_figure_points_where_it_says():
    heads = {name for of in tables(SUMMARY, METRICS).values() for table in of for name in table.head}
    heads |= {line[0] for of in tables(SUMMARY, METRICS).values() for table in of for line in table.rows}
    heads |= {table.title for of in tables(SUMMARY, METRICS).values() for table in of}
    for m in METRICS.values():
        assert m.title + {"lower": " ↓", "higher": " ↑", "neither": ""}[m.better] in heads
    lines = definitions(METRICS, METRICS).splitlines()
    assert lines[3] == "- **Deletion, zero** (`deletion_zero`): lower is better ↓; 0 to 1. Petsiuk 2018"
    assert lines[6] == "- **Stability** (`stability`): lower is better ↓; 0 and up. Alvarez-Melis 2018"
    assert lines[-1] == "- **Kurtosis** (`kurtosis`): describes, no direction; any number. Mardia 1970"


def test_parts_and_figures_that_nobody_declared_are_shown_without_direction():
    summary = {**SUMMARY, "rows": [row("new", "x", "here", "some_figure", 0.5)]}
    (table,) = tables(summary, {})["new"]
    assert (table.head, table.rows) == (("", "some figure"), (("x", "0.500 (0.48–0.52)"),))
    assert "## New" in report(summary, {})


def test_numbers_of_the_report_are_those_of_the_summary():
    page = report(SUMMARY, METRICS)
    for r in SUMMARY["rows"]:
        assert with_interval(r["mean"], r["low"], r["high"]) in page
    assert all(
        line.count("|") == 4 for line in page.splitlines() if line.startswith(("| ABELE | 0.3", "| LIME | **0.2"))
    )


def test_a_name_with_a_bar_does_not_break_a_table():
    summary = {**SUMMARY, "rows": [row("counter-exemplars", "a|b", None, "validity", 0.5)]}
    assert "| figure | a\\|b |" in report(summary, METRICS)


def test_csv_holds_every_row():
    read = list(csv.DictReader(io.StringIO(csv_text(SUMMARY))))
    assert len(read) == len(SUMMARY["rows"])
    known = {(r["of"], str(r["at"] or ""), r["figure"]): r for r in SUMMARY["rows"]}
    for line in read:
        r = known[line["of"], line["at"], line["figure"]]
        for column in ("n", "mean", "low", "high", "median", "std"):
            assert line[column] == ("" if r[column] is None else str(r[column]))
        assert [line["min"], line["q50"], line["max"]] == [
            "" if r["quantiles"] is None else str(r["quantiles"][i]) for i in (0, 3, 6)
        ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0.000"),
        (0.27549, "0.275"),
        (-0.5, "-0.500"),
        (-0.0, "0.000"),
        (1, "1.000"),
        (0.00123, "0.0012"),
        (12.345, "12.3"),
        (123.45, "123"),
        (1234567.8, "1,234,568"),
        (1.5e-9, "1.50e-09"),
        (2e12, "2.00e+12"),
        (math.inf, "inf"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


ANY = st.floats(-1e300, 1e300)


def parsed(text):
    return float(text.replace(",", ""))


@given(ANY)
@example(9.9996)
@example(0.0099999)
def test_a_printed_number_is_near_the_number(value):
    assert parsed(number(value)) == pytest.approx(value, rel=0.051, abs=1e-300)
    assert value == 0 or parsed(number(value)) != 0 or abs(value) < 1e-300


@given(ANY, ANY, ANY)
@example(0.265, 0.2651, 0.28)
@example(-0.1, -1e-9, 0.1)
@example(1e-8, 1.5e-7, 3e-7)
@example(0.28 - 2e-17, 0.3, 0.32)
def test_an_interval_as_printed_holds_the_mean_as_printed(a, b, c):
    low, mean, high = sorted((a, b, c))
    text = with_interval(mean, low, high)
    if low == high or not math.isfinite(high - low):
        assert text == number(mean)
    else:
        parts = re.fullmatch(r"(\S+) \((\S+?)(?:–| to )(\S+)\)", text)
        assert parts is not None
        assert parsed(parts[2]) <= parsed(parts[1]) <= parsed(parts[3])


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (0.275, 0.2651, 0.2861, "0.275 (0.26–0.29)"),
        (0.9923, 0.9911, 0.9934, "0.992 (0.991–0.994)"),
        (-0.0001, -0.0854, 0.0852, "0.000 (-0.09 to 0.09)"),
        (0.0012, 0.00101, 0.00139, "0.0012 (0.0010–0.0014)"),
        (1234.5, 1101.2, 1300.0, "1,234 (1,101–1,300)"),
        (1.0, 1.0, 1.0, "1.000"),
        (None, None, None, "–"),
    ],
)
def test_intervals(mean, low, high, text):
    assert with_interval(mean, low, high) == text


PAGE = """# Results

In words: <!-- figure: digits saliency deletion_zero lime -->?<!-- end --> and
<!-- figure: digits surrogate agreement surrogate fresh neighbors -->old<!-- end --> and
<!-- figure%: digits surrogate agreement surrogate fresh neighbors -->old<!-- end --> or
<!-- figure: digits exemplars one_nearest_neighbor abele 16 --><!-- end -->.
<!-- a comment of the author -->

<!-- table: digits counter-exemplars -->
an old table
| a |
<!-- end -->

<!-- definitions --><!-- end -->
"""


def test_marks_are_filled_and_filling_again_changes_nothing():
    page = with_tables(PAGE, {"digits": SUMMARY}, METRICS)
    assert "deletion_zero lime -->0.250<!-- end --> and" in page
    assert "fresh neighbors -->0.850<!-- end --> and" in page
    assert "fresh neighbors -->85.0 %<!-- end --> or" in page
    assert "abele 16 -->0.580<!-- end -->." in page
    assert "<!-- a comment of the author -->\n" in page
    assert "old table" not in page
    assert markdown(tables(SUMMARY, METRICS)["counter-exemplars"]) in page
    assert definitions(METRICS, METRICS).splitlines()[0] in page
    assert with_tables(page, {"digits": SUMMARY}, METRICS) == page


def test_a_page_without_marks_stays_as_it_is():
    assert with_tables("# Nothing | here", {}, {}) == "# Nothing | here"


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("table: digts saliency", "Did you mean 'digits'?"),
        ("table: digits salience", "Did you mean 'saliency'?"),
        ("table: digits", "expected one of: surrogate"),
        ("figure: digits saliency deletion_zero lima", "the closest: saliency deletion_zero lime; "),
        ("tabel: digits saliency", "Did you mean 'table'?"),
    ],
)
def test_a_wrong_mark_names_the_closest(mark, message):
    with pytest.raises(UnknownNameError, match=re.escape(message)):
        with_tables(f"<!-- {mark} --><!-- end -->", {"digits": SUMMARY}, METRICS)


def test_a_mark_that_is_not_closed_swallows_nothing():
    page = "<!-- table: digits saliency -->\ntext\n<!-- definitions -->\n<!-- end -->"
    with pytest.raises(ParameterError, match="got the mark '<!-- table: digits saliency -->' alone"):
        with_tables(page, {"digits": SUMMARY}, METRICS)


@pytest.mark.slow
def test_a_report_is_written_and_its_pictures_are_drawn(tmp_path):
    paths = write_report(tmp_path / "run", SUMMARY, METRICS)
    names = [f"{name}.png" for name in ("curves", "exemplars", "sanity", "spread", "surrogate")]
    names = sorted([*names, "summary.json", "table.csv", "table.md"])
    assert sorted(path.name for path in paths) == sorted(p.name for p in (tmp_path / "run").iterdir()) == names
    assert (tmp_path / "run" / "table.md").read_text(encoding="utf-8") == report(SUMMARY, METRICS)
    assert (tmp_path / "run" / "table.csv").read_text(encoding="utf-8") == csv_text(SUMMARY)
    assert json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(SUMMARY)
    )
    for path in paths[3:]:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(2**24)) > 10


def test_what_the_plots_show_is_what_was_measured():
    pages = plots(SUMMARY, METRICS)
    panels = {axes.get_title(): axes for axes in pages["curves"].axes}
    assert set(panels) == {
        "Deletion, ending at zero",
        "Deletion, ending at a blurred copy",
        "Insertion, starting from zero",
        "Insertion, starting from a blurred copy",
    }
    drawn = {line.get_label(): line for line in panels["Deletion, ending at zero"].lines}
    assert [*drawn] == ["ABELE", "LIME", "Edge detector"]
    assert drawn["LIME"].get_ydata().tolist() == [0.9, 0.5, 0.1]
    assert drawn["ABELE"].get_linewidth() > 2 * drawn["LIME"].get_linewidth()
    assert drawn["Edge detector"].get_linestyle() == "--"
    (exemplars,) = pages["exemplars"].axes
    assert {line.get_label(): line.get_xdata().tolist() for line in exemplars.lines} == {
        "ABELE": [1, 2, 16],
        "k-medoids": [1, 2, 16],
    }
    (surrogate,) = pages["surrogate"].axes
    assert sorted(round(bar.get_height(), 3) for bar in surrogate.patches) == [0.75, 0.85, 0.95]


def test_what_was_not_measured_is_not_drawn():
    nothing = [
        row("saliency", "lime", None, "deletion_zero", None),
        row("sanity", "lime", "1 a", "rank_correlation", None),
    ]
    assert plots({**SUMMARY, "rows": nothing, "curves": {}}, METRICS) == {}
    assert "| LIME | – |" in report({**SUMMARY, "rows": nothing, "curves": {}}, METRICS)


def test_a_constant_answer_that_was_not_measured_is_no_entry_of_the_legend():
    """As in runs of schema 1, which hold the share of the image's label in its place."""
    names = {}
    for figure in ("constant", "always_image_label"):
        rows = [entry | ({"figure": figure} if entry["figure"] == "constant" else {}) for entry in SUMMARY["rows"]]
        (legend,) = plots({**SUMMARY, "rows": rows}, METRICS)["surrogate"].legends
        names[figure] = [text.get_text() for text in legend.get_texts()]
    assert "Constant answer" in names["constant"]
    assert names["always_image_label"] == [name for name in names["constant"] if name != "Constant answer"]


def test_curves_with_gaps_and_unknown_layers_are_drawn(tmp_path):
    rows = [row("sanity", "abele", "layer", "rank_correlation", 0.1), row("exemplars", "abele", 1, "x", 0.4, None, 0.5)]
    summary = {**SUMMARY, "rows": rows, "curves": {"lime": {"deletion_mean": [0.5, None, 0.2]}}}
    assert {path.name for path in write_report(tmp_path, summary, {})} >= {"curves.png", "sanity.png", "exemplars.png"}
