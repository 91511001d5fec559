"""A summary says what its rows say: known answers, whatever the shards, and a clear error for what is none."""

import numpy as np
import pytest
from support.runs import CELLS, condition, failed, mixed, row, write_run

from abele_py.distributed import summarize
from abele_py.distributed import summary as module
from abele_py.distributed.columns import read_columns
from abele_py.distributed.shards import shard_path
from abele_py.errors import DataError

SIX = [
    row(0, 0, 0, [(1, 1.0), (2, 2.0)], held_out=0.8, constant=0.5),
    row(1, 0, 1, [(1, 3.0), (2, 4.0)], grade="bad", notes=["not-typical"], held_out=0.4, probability=0.95),
    row(2, 0, 2, [(1, 5.0), (2, 6.0)], grade="care", probability=0.5, reconstruction_label=2),
    row(3, 1, 1, [(0, 0.5)], map=[40] * CELLS),
    row(4, 1, 1, [(0, 1.5)], map=[-20] * CELLS),
    failed(5, true_label=2),
]


@pytest.fixture
def six(tmp_path):
    return summarize(write_run(tmp_path, SIX, shard_size=4))


def test_trust_over_the_set(six):
    t = six.trust
    assert (six.n, t.n, six.n_failed) == (6, 5, 1)
    assert t.grades["explanation"] == t.grades["rule"] == {"good": 3, "near": 0, "care": 1, "bad": 1}
    assert t.grades["map"] == {"good": 5, "near": 0, "care": 0, "bad": 0}
    assert t.held_out == pytest.approx((0.8 + 0.4 + 3 * 0.9) / 5)
    assert t.constant == pytest.approx((0.5 + 4 * 0.6) / 5)
    assert t.notes == {"not-typical": 1}
    assert t.histogram.sum(axis=1).tolist() == [5, 5]


def test_failures_are_counted_by_reason(tmp_path):
    rows = [failed(0), failed(1), failed(2, "BlackBoxError", "gone"), row(3)]
    first, second = summarize(write_run(tmp_path, rows)).failures
    assert (first.error, first.n, first.first) == ("ImageError", 2, "digits:test:0")
    assert (second.error, second.reason, second.n) == ("BlackBoxError", "gone", 1)


def test_reasons_beyond_those_told_apart_are_counted_together(tmp_path):
    found = summarize(write_run(tmp_path, [failed(i, reason=f"reason {i}") for i in range(150)], shard_size=64))
    assert sum(f.n for f in found.failures) == 150 == found.n_failed
    assert len(found.failures) == 101
    assert found.failures[0].error == "other"


def test_classes(six):
    a, b = six.classes
    assert (a.label, a.trust.n, a.n_true, a.n_known, a.n_right) == (0, 3, 1, 3, 1)
    assert (b.label, b.trust.n, b.n_true, b.n_known, b.n_right) == (1, 2, 3, 2, 2)
    assert np.allclose(b.map, 10 / 127)
    assert np.allclose(b.spread, 30 / 127)
    assert {e.index for e in a.typical} == {0, 1, 2}
    assert a.typical[0].index == 1, "the middle of three on a line"
    assert [(r.towards, r.n) for r in a.reasons] == [(1, 3), (2, 3)]


def test_kinds_of_conditions_are_counted_once_an_image(tmp_path):
    conditions = [
        condition(1), condition(1, operator=">"), condition(2, away_from=1), condition(None, axis=3),
        condition(None, axis=3, operator=">"),
    ]  # fmt: skip
    (only,) = summarize(write_run(tmp_path, [row(0, conditions=conditions), row(1, conditions=conditions[:1])])).classes
    found = {(r.towards, r.away_from, r.axis, r.below): r.n for r in only.reasons}
    assert found == {
        (1, None, None, None): 2, (2, 1, None, None): 1, (None, None, 3, True): 1, (None, None, 3, False): 1,
    }  # fmt: skip


def test_borders(six):
    found = {(b.label, b.other): b for b in six.borders}
    assert set(found) == {(0, 1), (0, 2), (1, 0)}
    near, far, back = found[0, 1], found[0, 2], found[1, 0]
    assert (near.n, near.n_nearest, near.mean, near.lowest) == (3, 3, 3.0, 1.0)
    assert near.median == pytest.approx(3.0, rel=0.04)
    assert np.allclose(near.change, 10 / 127)
    assert (far.n, far.n_nearest, far.change) == (3, 0, None)
    assert np.allclose(back.change, 0)


def test_mistakes(six):
    m = six.mistakes
    assert (m.wrong.n, m.right.n, m.left_out) == (2, 3, 0)
    first, second = m.confusions
    assert (first.true_label, first.label, first.side.n, first.to_true) == (1, 0, 1, 3.0)
    assert first.groups == {("true-nearest", "sure", "unusual"): 1}
    assert (second.true_label, second.label, second.to_true, second.change) == (2, 0, 6.0, None)
    assert second.groups == {("true-farther", "copy-right"): 1}
    assert m.groups == {**first.groups, **second.groups}
    assert m.wrong.signs["bad"] == 1
    assert m.right.signs["unusual"] == 0
    assert m.wrong.probability == pytest.approx((0.95 + 0.5) / 2)
    assert m.wrong.distance == pytest.approx(4.0)
    assert np.allclose(first.change, 10 / 127)
    assert [e.index for c in m.confusions for e in c.examples] == [1, 2]


def test_without_a_way_to_the_true_class(tmp_path):
    found = summarize(write_run(tmp_path, [row(0, 0, 2, [(1, 1.0)]), row(1, 0, 2)]))
    (only,) = found.mistakes.confusions
    assert only.groups == {("true-not-found",): 2}
    assert only.to_true is None


def test_the_least_trusted_are_the_worst_graded_then_the_least_faithful(six):
    assert [e.index for e in six.least][:2] == [1, 2]
    worst = six.least[0]
    assert worst.grades["explanation"] == "bad"
    assert (worst.nearest, worst.distance, worst.notes, worst.is_right) == (1, 3.0, ("not-typical",), False)
    assert (worst.shard, worst.row) == (0, 1)
    assert [e.index for e in six.listed] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("shard_size", "at_once"), [(1, 1), (1, 7), (7, 1), (7, 20), (39, 40)])
def test_the_size_of_shards_and_what_is_read_at_once_change_nothing(tmp_path, monkeypatch, shard_size, at_once):
    one = summarize(write_run(tmp_path / "one", mixed(), shard_size=40))
    folder = write_run(tmp_path / "many", mixed(), shard_size=shard_size)
    monkeypatch.setattr(module, "read_columns", lambda folder: read_columns(folder, at_once))
    many = summarize(folder)
    assert [e.index for e in one.listed] == [e.index for e in many.listed]
    assert [e.index for e in one.least] == [e.index for e in many.least]
    assert one.mistakes.groups == many.mistakes.groups
    assert one.trust.notes == many.trust.notes
    for a, b in zip(one.classes, many.classes, strict=True):
        assert np.array_equal(a.map, b.map)
        assert [e.index for e in a.typical] == [e.index for e in b.typical]
        assert a.reasons == b.reasons
    for a, b in zip(one.borders, many.borders, strict=True):
        assert (a.n, a.n_nearest, a.median, a.lowest) == (b.n, b.n_nearest, b.median, b.lowest)


def test_an_empty_run_and_one_in_which_all_failed(tmp_path):
    empty = summarize(write_run(tmp_path / "empty", []))
    assert (empty.n, empty.trust.n, empty.classes, empty.borders, empty.mistakes) == (0, 0, (), (), None)
    nothing = summarize(write_run(tmp_path / "failed", [failed(i) for i in range(5)]))
    assert (nothing.n, nothing.n_failed, nothing.trust.n, nothing.listed) == (5, 5, 0, ())


def test_an_unfinished_run_says_so(tmp_path):
    folder = write_run(tmp_path, SIX, data={"source": "digits:test", "n": 100, "digest": "0"})
    assert not summarize(folder).is_whole


def test_without_labels_codes_scores_and_notes(tmp_path):
    rows = [row(i, latent=None, probability=None, map=None, notes=[]) for i in range(3)]
    found = summarize(write_run(tmp_path, rows))
    assert found.mistakes is None
    (only,) = found.classes
    assert (only.typical, only.map, only.n_known, only.trust.notes) == ((), None, 0, {})


def test_many_classes_and_many_coordinates(tmp_path):
    rng = np.random.default_rng(0)
    k = 200
    rows = [
        row(i, i % k, (i + i // 300) % k, [((i + 1) % k, 1.0)], latent=rng.normal(size=256).astype(np.float32))
        for i in range(2 * k)
    ]
    found = summarize(write_run(tmp_path, rows, [f"class {i}" for i in range(k)], shard_size=64))
    assert len(found.classes) == k
    assert all(len(c.typical) == 2 for c in found.classes)
    assert found.mistakes.wrong.n == 100
    assert found.name(199) == "class 199"


def test_labels_without_a_name_are_numbers(tmp_path):
    found = summarize(write_run(tmp_path, [row(0, 7, 9, [(9, 1.0)])], class_names=()))
    assert found.name(found.classes[0].label) == "7"


def test_what_is_kept_is_bounded(tmp_path, monkeypatch):
    for name, value in {"N_LEAST": 5, "N_SAMPLED": 7, "N_MISTAKES": 4, "_MOST_CODES": 6}.items():
        monkeypatch.setattr(module, name, value)
    codes = []
    monkeypatch.setattr(module, "k_medoids", lambda points, n, max_swaps: codes.append(len(points)) or np.arange(1))
    found = summarize(write_run(tmp_path, mixed(400), shard_size=64))
    assert len(found.least) == 5
    assert len(found.listed) <= 5 + 7 + 4
    assert codes
    assert max(codes) <= 12, "at least twice the typical ones are kept"


def broken(folder, number, change):
    path = shard_path(folder, number)
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "change",
    [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:4] + bytes(c ^ 255 for c in b[4:1000]) + b[1000:]],
    ids=["short", "empty", "flipped"],
)
def test_a_damaged_shard_is_named(tmp_path, change):
    folder = write_run(tmp_path, SIX, shard_size=2)
    broken(folder, 1, change)
    with pytest.raises(DataError, match=r"(?s)00000001\.parquet.*delete this file"):
        summarize(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"map": [1, 2, 3]}, "length"),
        ({"latent": np.array([np.nan, 0], dtype=np.float32)}, "finite"),
        ({"counter_exemplars": [{"label": None, "distance": 1.0}]}, "counter-exemplar"),
        ({"label": -3}, "label"),
        ({"label": 2**20}, "label"),
        ({"label": None}, "without a label"),
    ],
)
def test_a_shard_that_no_run_writes_is_named(tmp_path, changes, message):
    folder = write_run(tmp_path, [*SIX[:4], row(4, others=[(1, 1.0)]) | changes], shard_size=2)
    with pytest.raises(DataError, match=rf"00000002\.parquet.*{message}"):
        summarize(folder)


def test_shards_of_different_runs_are_told(tmp_path):
    rows = [row(0), row(1, latent=np.zeros(5, dtype=np.float32))]
    with pytest.raises(DataError, match=r"another length|codes of 5 numbers"):
        summarize(write_run(tmp_path, rows, shard_size=1))


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no readable run\.json"):
        summarize(tmp_path)
