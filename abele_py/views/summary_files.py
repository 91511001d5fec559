"""The summary of a run as files: a page, tables, plots. What is replaced is an earlier summary alone."""

import io
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from ..checking.parameters import checked
from ..distributed.records import Entry, Summary
from ..distributed.shards import read_shard, shard_paths
from ..distributed.summary import summarize
from ..storage.files import write_bytes, write_json
from ..storage.places import MARK, Kind, alone, check_replaceable, signature
from .summary_page import page_of_summary
from .summary_parts import Pictures, Shown, run_folder_from
from .summary_plots import PLOTS, plots_of_summary
from .summary_tables import TABLES, tables_of_summary

PAGE = "summary.html"
FOLDER = "summary"  # below that of the run
MOST_BYTES = 900_000  # of pictures on a page; some stand on it twice, and in base64 they are a third longer
_LARGEST = 12_000  # bytes of one picture
_FEW = 600  # rows whose pictures are looked for: each may lie in a file of its own
_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff")
_FILES = (PAGE, *(f"{name}.{kind}" for name in TABLES for kind in ("parquet", "csv")), *(f"{n}.png" for n in PLOTS))
SUMMARY = Kind("summary", lambda _: _FILES, lambda place: signature(place).get("abele_py") == "summary")


@checked
def write_summary(folder: str | Path, out: str | Path | None = None) -> Path:
    """Sum up a run, and write it: ``summary.html``, tables (Parquet and CSV) and plots (PNG).

    The page needs no network and no other file, and has a few MB at most. It leads to explanations that were kept, and
    names the command that makes others.

    Args:
        folder: of a run, finished or not.
        out: folder for what is written; ``folder/summary`` if None.

    Returns:
        The path of the page. The same shards give the same bytes.

    Raises:
        DataError: the folder holds no run, or a shard is damaged.
        PlaceError: ``out`` holds something else than an earlier summary, or cannot be written.
    """
    if out is not None:
        check_replaceable(Path(out), SUMMARY)
    return write_files(summarize(folder), out)[0]


def write_files(summary: Summary, out: str | Path | None = None) -> list[Path]:
    """The files of :func:`write_summary`, the page first."""
    place = summary.folder / FOLDER if out is None else Path(out)
    check_replaceable(place, SUMMARY)
    shown = Shown(summary, pictures_of(summary), run_folder_from(place, summary.folder))
    files = {PAGE: page_of_summary(shown).encode()} | tables_of_summary(summary)
    for name, figure in plots_of_summary(summary).items():
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
        files[f"{name}.png"] = file.getvalue()
    with alone(place, FOLDER, wait=60):
        check_replaceable(place, SUMMARY)
        write_json(place / MARK, {"abele_py": SUMMARY.name})
        for name, content in files.items():
            write_bytes(place / name, content)
        for name in set(_FILES) - set(files):  # of an earlier summary, of other rows
            (place / name).unlink(missing_ok=True)
    return [place / name for name in files]


def pictures_of(summary: Summary) -> dict[int, Pictures]:
    """Pictures for a page, by the index of their image: of typical images, mistakes and the least trusted first."""
    if summary.run.keep == "summary":
        return {}
    wanted: dict[int, tuple[Entry, bool]] = {}  # and whether map and counter-exemplar are shown as well
    confusions = () if summary.mistakes is None else summary.mistakes.confusions[:24]
    for entry in (e for c in summary.classes for e in c.typical):
        wanted.setdefault(entry.index, (entry, False))
    for entry in (e for c in confusions for e in c.examples):
        wanted[entry.index] = (entry, True)
    for entry in (*summary.least, *summary.listed):
        if len(wanted) < _FEW:
            wanted.setdefault(entry.index, (entry, False))
    read = _read(summary.folder, wanted.values())
    found: dict[int, Pictures] = {}
    room = MOST_BYTES
    for index, (_, more) in wanted.items():
        picture = read[index]
        picture = picture if more else Pictures(picture.image)
        size = sum(map(len, vars(picture).values()))
        if picture.image and size <= room:
            found[index] = picture
            room -= size
    return found


def _read(folder: Path, wanted: Iterable[tuple[Entry, bool]]) -> dict[int, Pictures]:
    paths, found = shard_paths(folder), dict[int, Pictures]()
    by_shard = sorted((entry for entry, _ in wanted), key=lambda e: (e.shard, e.row))
    for shard, entries in groupby(by_shard, key=lambda e: e.shard):
        table = read_shard(paths[shard], ["image", "map_picture", "counter_exemplar_images.list.element"])
        for entry in entries:
            row = {name: table[name][entry.row].as_py() for name in table.column_names}
            others = row.get("counter_exemplar_images") or [None]
            found[entry.index] = Pictures(*map(_picture, (row.get("image"), row.get("map_picture"), others[0])))
    return found


def _picture(content: Any) -> bytes:
    """The bytes of a PNG or JPEG that is not too large; nothing of anything else."""
    fits = isinstance(content, bytes) and len(content) <= _LARGEST and content.startswith(_MAGIC)
    return content if fits else b""
