"""Where the tests find the data sets that do not come with a library."""

import os
from pathlib import Path

import pytest

from abele_py.datasets.catalog import DATASETS
from support.paths import ROOT


def data_dir_of(name: str) -> Path | None:
    """The folder to pass as ``data_dir``; skips the test, saying why, where the files are not there."""
    files = DATASETS[name].files
    if not files:
        return None
    given = os.environ.get("ABELE_DATA_DIR")
    for folder in [Path(given)] if given else [ROOT.parent / "shared" / "data", ROOT / "shared" / "data"]:
        if all((folder / file).is_file() for file in files):
            return folder
    pytest.skip(f"no {DATASETS[name].title} here: set ABELE_DATA_DIR to the folder that holds it")
