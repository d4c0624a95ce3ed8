"""What does not fit into memory goes to the disk, into a directory of the lake."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from lakes import instance
from support import swept

from etl import views
from etl.emulator import Emulator
from etl.flatten import Staging
from etl.lake import Lake

ROWS = 2_000_000
MUCH = f"create temp table much as select range as number, md5(range::varchar) as text from range({ROWS})"


def spilled(connection: duckdb.DuckDBPyConnection, folder: Path) -> bool:
    """Whether a connection brought to its limit of memory wrote into the folder, and lost nothing."""
    connection.execute(MUCH)
    is_used = any(folder.iterdir())
    # Read row by row: to count distinct texts wants memory of its own, which no limit promises to be enough.
    found = connection.execute("select count(*), sum(number), count(text) from much").fetchone()
    return is_used and found == (ROWS, ROWS * (ROWS - 1) // 2, ROWS)


def test_a_sweep_larger_than_its_memory_spills(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.create()
    with Staging("60MB", str(lake.spill("a"))).connection as connection:
        assert spilled(connection, lake.spill("a"))


def test_a_query_larger_than_its_memory_spills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path / "lake")
    with Emulator.of_documents([instance(1)]) as service:
        swept(service, lake)
    own = views.unlocked

    def small(lake: Lake, wanted: str | None) -> duckdb.DuckDBPyConnection:
        connection = own(lake, wanted)
        connection.execute("set memory_limit = '60MB'")
        return connection

    monkeypatch.setattr(views, "unlocked", small)
    with views.connect(lake) as connection:
        assert spilled(connection, lake.path / "tmp" / "queries")
