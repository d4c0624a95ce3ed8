"""The marts follow the sweeps: built when something changed, published at once, empty where empty."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from etl import views
from etl.build import build
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.errors import UsageError
from etl.lake import Lake
from etl.marts import SEEN, publish, published, tag, write
from etl.scope import Scope
from etl.settings import Settings
from etl.sweep import sweep

START = "2026-10-12T00:00:00Z"


def swept(path: Path, count: int) -> tuple[Lake, Settings]:
    """A lake of so many sweeps a quarter of an hour apart, of a fleet that comes and goes quickly."""
    fleet = Fleet(FleetSettings(instances=30, seed=3, mean_run_hours=0.5, mean_idle_hours=0.5))
    with Emulator(fleet, clock=Clock.at(START)) as service:
        settings = Settings(
            lake=str(path),
            endpoint=service.endpoint,
            project_id=service.project_id,
            token=service.token,
            requests_per_second=1000,
        )
        for _ in range(count):
            assert sweep(settings, Scope()).verdict == "complete"
            service.clock.advance(minutes=15)
    return Lake(path), settings


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Settings]:
    lake, settings = swept(tmp_path_factory.mktemp("lake"), 4)
    build(settings, lake)
    return lake, settings


def test_every_mart_can_be_read_after_a_single_sweep(tmp_path: Path) -> None:
    lake, settings = swept(tmp_path, 1)
    build(settings, lake)
    with views.connect(lake) as connection:
        counts = {name: connection.execute(f"select count(*) from {name}").fetchall() for name in SEEN}
    assert counts["usage_daily"] == [(0,)]
    assert set(counts) == set(SEEN)


def test_a_mart_that_an_earlier_version_stored_is_read_until_the_next_build(
    built: tuple[Lake, Settings], tmp_path: Path
) -> None:
    source, settings = built
    lake = Lake(shutil.copytree(source.path, tmp_path / "lake"))
    before = published(lake)
    assert before is not None
    stored = write(lake, "sessions", pa.table({"instance_id": ["DE-of-before"]}))
    versions = {**before.versions, "sessions": stored}
    publish(lake, replace(before, fingerprint="of before", versions=versions), tag(lake))
    with views.connect(lake) as connection:
        assert connection.execute("select instance_id from sessions").fetchall() == [("DE-of-before",)]
    build(settings, lake)
    with views.connect(lake) as connection, views.connect(source) as other:
        count = "select count(*) from sessions"
        assert connection.execute(count).fetchall() == other.execute(count).fetchall()


def test_nothing_is_built_again_while_nothing_has_changed(built: tuple[Lake, Settings]) -> None:
    lake, settings = built
    before = published(lake)
    assert build(settings, lake).rows == {}
    assert published(lake) == before


def test_a_full_build_gives_the_same_rows(built: tuple[Lake, Settings]) -> None:
    lake, settings = built
    query = "select * from {} order by all"
    with views.connect(lake) as connection:
        before = {name: connection.execute(query.format(name)).fetchall() for name in SEEN}
    build(settings, lake, full=True)
    with views.connect(lake) as connection:
        after = {name: connection.execute(query.format(name)).fetchall() for name in SEEN}
    assert after == before
    assert before["usage_daily"]


def test_another_time_zone_cuts_the_same_time_into_other_days(built: tuple[Lake, Settings]) -> None:
    lake, settings = built
    total = "select sum(running_us), min(usage_date)::varchar from usage_daily"
    sums = {}
    for zone in ("Asia/Shanghai", "America/Los_Angeles"):
        build(Settings(**{**vars(settings), "tz": zone}), lake)
        with views.connect(lake) as connection:
            [(seconds, first)] = connection.execute(total).fetchall()
        sums[first] = seconds
    assert set(sums) == {"2026-10-12", "2026-10-11"}
    assert len(set(sums.values())) == 1


def test_a_lake_without_a_sweep_has_nothing_to_build_from(tmp_path: Path) -> None:
    Lake(tmp_path).create()
    with pytest.raises(UsageError, match="run `demeter sweep` first"):
        build(Settings(lake=str(tmp_path)), Lake(tmp_path))
