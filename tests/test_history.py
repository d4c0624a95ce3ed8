"""The history that builds and reports are measured on is one as sweeps write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support import committed

from bench.history import Shape, write
from etl.build import build
from etl.checks import check_data
from etl.dictionary import TABLES, Table, kept
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.lake import Lake
from etl.settings import Settings

pytestmark = pytest.mark.long

START = "2026-01-01T00:00:00Z"
SHAPE = Shape(instances=40, days=3, created_share=0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return write(tmp_path_factory.mktemp("made") / "lake", SHAPE).lake


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of real sweeps of a restless fleet, over three days."""
    lake = Lake(tmp_path_factory.mktemp("swept"))
    fleet = Fleet(FleetSettings(instances=250, start=START, free_share=0.5, created_share=0.3))
    with Emulator(fleet, clock=Clock.at(START)) as service:
        for number in range(26):
            committed(service, lake)
            service.clock.advance(minutes=15 if number < 16 else 360)
    return lake


def rows(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        return connection.execute(query).fetchall()


def kinds(lake: Lake, table: Table) -> set[str]:
    """The kinds of rows that a table has."""
    return {kind for (kind,) in rows(lake, f"select distinct change from {lake.relation(table.name)}")}


def breaks(lake: Lake, table: Table) -> Iterator[tuple[Any, ...]]:
    """The rows that no sweep can have written after the one before them, or at the time that they tell."""
    keys = ", ".join(table.keys)
    yield from rows(
        lake,
        f"""
        select * from (
            select {keys}, change, observed_at, observed_date, lag(change) over life as before_change,
                lag(observed_date) over life as before_date
            from {lake.relation(table.name)}
            window life as (partition by {keys} order by observed_at, sweep_id)
        )
        where (change = 'new') <> (coalesce(before_change, 'gone') = 'gone')
            or (change = 'keyframe' and before_date >= observed_date)
            or (change <> 'new' and before_date < observed_date - 1)
            or observed_at::date <> observed_date
        """,
    )


@pytest.mark.parametrize("table", kept(), ids=lambda table: table.name)
def test_a_table_has_the_rows_that_real_sweeps_write(made: Lake, swept: Lake, table: Table) -> None:
    assert kinds(made, table) <= kinds(swept, table)
    assert list(breaks(made, table)) == list(breaks(swept, table)) == []


def test_instances_come_and_go_and_change_as_those_of_real_sweeps(made: Lake, swept: Lake) -> None:
    statuses = "select distinct status from {} where change = 'changed'"
    real = set(rows(swept, statuses.format(swept.relation("instances"))))
    assert set(rows(made, statuses.format(made.relation("instances")))) <= real
    by_name = {table.name: table for table in TABLES}
    assert kinds(made, by_name["instances"]) == kinds(swept, by_name["instances"])
    assert kinds(made, by_name["queue"]) >= {"new", "gone"}
    [(count,)] = rows(made, f"select count(*) from {made.relation('instances')} where change = 'changed'")
    assert 8 <= count / SHAPE.instances / SHAPE.days <= 12


def test_a_day_is_a_file_and_every_row_is_of_a_sweep(made: Lake) -> None:
    for table in kept():
        assert {len(files) for files in made.days(table.name).values()} <= {1}
        strays = (
            f"select * from {made.relation(table.name)} where sweep_id not in (select sweep_id from sweeps)"
        )
        sweeps = f"with sweeps as (from {made.relation('sweeps')} where verdict = 'complete') "
        assert rows(made, sweeps + strays) == []


def test_it_is_built_and_passes_all_checks(made: Lake) -> None:
    assert build(Settings(tz="UTC"), made).day_count == SHAPE.days
    assert {finding.name for finding in check_data(made) if finding.status != "ok"} == set()


def test_equal_shapes_give_equal_histories(made: Lake, tmp_path: Path) -> None:
    other = write(tmp_path / "lake", SHAPE).lake
    query = "select * exclude (sweep_id) from {} order by all"
    for name in ("instances", "storage", "sweeps"):
        both = [rows(lake, query.format(lake.relation(name))) for lake in (made, other)]
        assert both[0] == both[1], name
