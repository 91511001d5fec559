"""Where commands are tried."""

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch, digits_models):
    """An empty folder to work in, with the shipped models at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABELE_DATA_DIR", raising=False)
    return tmp_path
