"""Commits of several sweeps into the same tables neither fail nor lose rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from etl.dictionary import table
from etl.errors import LakeBusy
from etl.lake import Lake, schema

DAY = datetime(2026, 10, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.create()
    return lake


def rows(sweep_id: str) -> pa.Table:
    row = {
        "project_id": "a",
        "sweep_id": sweep_id,
        "observed_at": DAY,
        "observed_date": date(2026, 10, 12),
        "instance_id": f"DE-{sweep_id}",
    }
    return pa.Table.from_pylist([row], schema=schema(table("instances")))


def sweeps(lake: Lake) -> set[str]:
    return set(lake.delta("instances").to_pyarrow_table(columns=["sweep_id"])["sweep_id"].to_pylist())


def test_rows_are_added_while_those_of_a_killed_sweep_are_deleted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.append("instances", rows("killed"))
    other = Lake(lake.path)
    assert sweeps(other) == {"killed"}
    lake.place("locks/a.writing").replace("killed")
    lake.clean_up("a")
    # The other one learns of the deletion when it commits.
    monkeypatch.setattr(Lake, "_is_newest", lambda self, name, version: True)
    other.append("instances", rows("new"))
    monkeypatch.undo()
    assert sweeps(lake) == {"new"}


def test_a_table_that_others_never_cease_to_change_is_busy(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflict(*_: object, **__: object) -> None:
        raise CommitFailedError("a concurrent transaction deleted data this operation read")

    monkeypatch.setattr(deltalake, "write_deltalake", conflict)
    with pytest.raises(LakeBusy, match="run this again later"):
        lake.append("instances", rows("new"))
    monkeypatch.undo()
    assert sweeps(lake) == set()
