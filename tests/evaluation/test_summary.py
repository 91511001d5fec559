"""Lines of measurements: whole ones count, damaged and doubled ones are noticed."""

import pytest

from abele_py.errors import (
    DataError,
)
from abele_py.evaluation.summary import lines_of, summarise

LINES = '{"image":3,"rows":[]}\n{"image":5,"rows":[]}\n'


def test_an_image_measured_twice_is_noticed_by_every_reader(tmp_path):
    path = tmp_path / "surrogate.jsonl"
    path.write_text(LINES)
    assert [line["image"] for line in lines_of(path)] == [3, 5]
    path.write_text(2 * LINES)
    with pytest.raises(DataError, match=r"surrogate\.jsonl, which holds 2 images more than once, such as 3; .* delete"):
        lines_of(path)
    (tmp_path / "run.json").write_text('{"left_out": {}}')
    with pytest.raises(DataError, match="more than once"):
        summarise(tmp_path)


@pytest.mark.parametrize(
    "line", ["[]", "3", "{}", '{"image": 3}', '{"image": null, "rows": []}', '{"image": 3, "rows": 1}']
)
def test_lines_that_are_no_measurements_are_damaged(line, tmp_path):
    (tmp_path / "surrogate.jsonl").write_text(LINES + line + "\n")
    with pytest.raises(DataError, match="damaged lines"):
        lines_of(tmp_path / "surrogate.jsonl")
    (tmp_path / "surrogate.jsonl").write_bytes(LINES.encode() + b"\xff\n")
    with pytest.raises(DataError, match="damaged lines"):
        lines_of(tmp_path / "surrogate.jsonl")


def test_a_line_that_was_cut_off_is_removed_by_who_owns_the_folder_alone(tmp_path):
    path = tmp_path / "surrogate.jsonl"
    path.write_text(LINES + '{"image":7,"ro')
    assert [line["image"] for line in lines_of(path)] == [3, 5]
    assert path.read_text() != LINES, "another process may be writing it"
    assert [line["image"] for line in lines_of(path, mend=True)] == [3, 5]
    assert path.read_text() == LINES
