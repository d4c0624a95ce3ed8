"""What does not fit into memory goes to the disk, into a directory of the lake."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from lakes import instance
from support import swept

from etl import sweep, views
from etl.emulator import Emulator
from etl.errors import UsageError
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
    with Staging(60_000_000, str(lake.spill("a"))).connection as connection:
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


def test_what_needs_more_memory_than_it_may_take_says_so_and_loses_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with Emulator.of_documents([instance(number) for number in range(4_000)]) as service:
        with pytest.raises(UsageError, match="nothing is lost: give more memory with DEMETER_MEMORY"):
            swept(service, lake, memory="1MB")
        assert swept(service, lake).counts["new_count"] == 4_000


def test_a_sweep_in_little_memory_writes_the_same_rows(tmp_path: Path) -> None:
    found = []
    with Emulator.of_documents([instance(number) for number in range(4_000)]) as service:
        for memory in ("40MB", "1GB"):
            lake = Lake(tmp_path / memory)
            swept(service, lake, memory=memory)
            with views.connect(lake) as connection:
                found.append(
                    connection.execute(
                        "select * exclude (sweep_id, observed_at) from instances order by instance_id"
                    ).fetchall()
                )
    assert len(found[0]) == 4_000
    assert found[0] == found[1]


def test_rows_wait_for_little_memory_unless_they_are_larger_than_usual(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    large = [instance(number) | {"description": "x" * 3_000_000} for number in range(3)]
    limits = []

    class Noted(Staging):
        def work(self) -> None:
            super().work()
            limits.append(self.connection.execute("select current_setting('memory_limit')").fetchall())

    with pytest.MonkeyPatch.context() as patch, Emulator.of_documents([instance(9)]) as service:
        patch.setattr(sweep, "Staging", Noted)
        swept(service, lake)
        for documents in (large, [instance(0)], [instance(9)]):
            service.clock.advance(minutes=15)
            service.documents = documents
            assert swept(service, lake).verdict == "complete"
    little, all_of_it = [("122.0 MiB",)], [("953.6 MiB",)]
    assert limits == [little, all_of_it, little, little]
