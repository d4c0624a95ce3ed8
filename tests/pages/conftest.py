"""A short demo for the pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.demo import Demo, fill


@pytest.fixture(scope="session")
def demo_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of a demo of one day."""
    lake = tmp_path_factory.mktemp("demo") / "lake"
    fill(lake, Demo(days=1), lambda done, total: None)
    return lake
