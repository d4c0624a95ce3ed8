"""The checks of the tidy tables find rows that were doubled or lost."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from etl import sqlfiles
from etl.checks import check_data
from etl.lake import Lake


@pytest.fixture
def own_lake(small_lake: Lake, tmp_path: Path) -> Lake:
    """A copy of the lake, to be spoilt."""
    return Lake(shutil.copytree(small_lake.path, tmp_path / "lake"))


def statuses(lake: Lake) -> dict[str, str]:
    return {finding.name: finding.status for finding in check_data(lake)}


def rows(lake: Lake, name: str) -> pa.Table:
    return lake.delta(name).to_pyarrow_table()


def test_what_sweeps_write_passes(small_lake: Lake) -> None:
    found = statuses(small_lake)
    assert found["a_sweep_has_one_row_a_key"] == found["histories_follow_on"] == "ok"


@pytest.mark.parametrize("name", ["instances", "users", "flavors", "billing", "workspaces"])
def test_a_row_that_stands_twice_is_found(name: str, own_lake: Lake) -> None:
    own_lake.append(name, rows(own_lake, name).slice(0, 1))
    assert statuses(own_lake)["a_sweep_has_one_row_a_key"] == "fail"


def test_a_history_without_its_beginning_is_found(own_lake: Lake) -> None:
    first = pc.min(rows(own_lake, "instances")["observed_at"]).as_py()
    own_lake.delta("instances").delete(f"observed_at = '{first.isoformat()}' and instance_id = 'DE-1'")
    assert statuses(own_lake)["histories_follow_on"] == "warn"


@pytest.mark.parametrize(("seconds", "status"), [(0, "ok"), (59, "ok"), (61, "warn"), (-61, "warn")])
def test_a_countdown_that_leads_elsewhere_tells_of_another_clock(
    seconds: int, status: str, own_lake: Lake
) -> None:
    [row] = rows(own_lake, "instances").slice(0, 1).to_pylist()
    observed = row["observed_at"]
    counted = {"auto_stop_remaining_seconds": 600, "stop_at": observed + timedelta(seconds=600 + seconds)}
    told = row | counted | {"instance_id": "DE-told", "status": "RUNNING", "change": "new"}
    own_lake.append("instances", pa.Table.from_pylist([told], schema=rows(own_lake, "instances").schema))
    assert statuses(own_lake)["clocks_agree"] == status


@pytest.mark.parametrize(("session_us", "expected"), [(None, []), (5, [("project", 0, 5)])])
def test_hours_without_length_need_no_session(
    session_us: int | None, expected: list[tuple[str, int | None, int]]
) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table usage_hourly as select 'project' as project_id, 0::bigint as running_us"
        )
        connection.execute(
            "create table sessions as select * from (select 'project' as project_id, "
            f"{session_us or 'null'}::bigint as running_us) where running_us is not null"
        )
        check = sqlfiles.text("checks", "sessions_sum_to_the_total")
        assert connection.execute(check).fetchall() == expected
