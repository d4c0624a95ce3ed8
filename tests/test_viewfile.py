"""`demeter.duckdb` shows the lake as it is, whatever of it was written anew."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import deltalake
import duckdb
import pytest
from support import document, swept

from etl import marts, viewfile
from etl.build import build
from etl.emulator import Clock, Emulator
from etl.lake import Lake
from etl.settings import Settings


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator.of_documents([document(1), document(2)], Clock.at("2026-10-12T08:00:00Z")) as running:
        yield running


@pytest.fixture(scope="module")
def template(service: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that was swept three times, and built in between."""
    lake = Lake(tmp_path_factory.mktemp("template") / "lake")
    for number in range(3):
        assert swept(service, lake).verdict == "complete"
        service.documents = [document(1, status="STOPPED" if number else "RUNNING"), document(2)]
        service.clock.advance(hours=1)
        if number == 1:
            build(Settings(lake=str(lake.path), tz="UTC"), lake)
    return lake


@pytest.fixture
def lake(template: Lake, tmp_path: Path) -> Lake:
    """A copy of it, whose file is its own."""
    shutil.copytree(template.path, tmp_path / "lake")
    viewfile.refresh(lake := Lake(tmp_path / "lake"))
    return lake


def shown(lake: Lake) -> dict[str, str]:
    """The SQL of each view of the file."""
    with duckdb.connect(str(lake.path / viewfile.FILE), read_only=True) as connection:
        found = connection.execute("select view_name, sql from duckdb_views() where not internal").fetchall()
    return dict(found)


def anew(lake: Lake) -> dict[str, str]:
    """The same of a file that is written as if there had been none."""
    viewfile.refresh(lake)
    return shown(lake)


def test_after_a_sweep_every_view_is_that_of_now(lake: Lake, service: Emulator) -> None:
    swept(service, lake)
    found = shown(lake)
    assert {"sweeps", "instances", *marts.SEEN} <= set(found)
    assert found == anew(lake)


def test_the_marts_are_not_looked_into_by_a_sweep(
    lake: Lake, service: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    relation = marts.relation
    monkeypatch.setattr(marts, "relation", lambda *given: (told.append(given[1]), relation(*given))[1])
    before = shown(lake)
    swept(service, lake)
    found = shown(lake)
    assert told == []
    assert {*marts.SEEN} <= {name for name in before if found[name] == before[name]}
    assert found["sweeps"] != before["sweeps"]
    build(Settings(lake=str(lake.path), tz="UTC"), lake)
    assert set(told) >= set(marts.STORED)
    assert shown(lake)["usage_daily"] != found["usage_daily"]


@pytest.mark.parametrize("content", [None, b"", b"no database", "moved", "empty"])
def test_a_file_that_is_none_of_this_lake_is_written_anew(
    content: bytes | str | None, lake: Lake, service: Emulator, tmp_path: Path
) -> None:
    file = lake.path / viewfile.FILE
    if content == "moved":
        shutil.move(lake.path, tmp_path / "elsewhere")
        lake = Lake(tmp_path / "elsewhere")
    else:
        file.unlink()
    if content == "empty":
        duckdb.connect(str(file)).close()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    swept(service, lake)
    assert shown(lake) == anew(lake)


@pytest.mark.parametrize("content", [b"torn", None])
def test_what_a_killed_run_left_of_its_draft_is_not_taken_up(
    content: bytes | None, lake: Lake, service: Emulator, tmp_path: Path
) -> None:
    wal = lake.path / f".{viewfile.FILE}.wal"
    if content is None:
        killed = (
            "import sys, duckdb, os; connection = duckdb.connect(sys.argv[1]); "
            "connection.execute('create table t (a int)'); os._exit(9)"
        )
        other = tmp_path / "other.duckdb"
        subprocess.run([sys.executable, "-c", killed, str(other)], check=False)  # noqa: S603
        content = other.with_name("other.duckdb.wal").read_bytes()
    wal.write_bytes(content)
    swept(service, lake)
    assert not wal.exists()
    assert shown(lake) == anew(lake)


@pytest.mark.parametrize(
    "did",
    [
        "drop view usage_daily",
        "drop view instances",
        "create or replace view instances as select 1 as id",
        "drop view usage_daily; create table usage_daily (a int)",
        "create table own as select range as a from range(100000)",
        "create or replace macro keys_of_views() as '[]'",
    ],
)
def test_what_a_client_did_to_the_file_is_undone_after_the_next_sweep(did: str, lake: Lake) -> None:
    file = lake.path / viewfile.FILE
    with duckdb.connect(str(file)) as connection:
        connection.execute(did)
    # Whatever the lake has meanwhile lost.
    (lake.path / "marts" / marts.CURRENT).unlink()
    viewfile.update(lake)
    found = shown(lake)
    assert "usage_daily" not in found
    assert found == anew(lake)
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]


def test_a_link_in_the_place_of_the_draft_is_not_followed(lake: Lake, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (lake.path / f".{viewfile.FILE}").symlink_to(other)
    viewfile.update(lake)
    assert other.read_text() == "kept"
    assert not (lake.path / viewfile.FILE).is_symlink()


KILLED = (
    "import duckdb, os, sys; connection = duckdb.connect(sys.argv[1]); "
    "connection.execute('insert into own values (1)'); os._exit(9)"
)


def test_what_a_killed_client_left_beside_the_file_harms_no_later_one(lake: Lake) -> None:
    file = lake.path / viewfile.FILE
    with duckdb.connect(str(file)) as connection:
        connection.execute("create table own (a int)")
    subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)  # noqa: S603
    assert file.with_name(f"{file.name}.wal").exists()
    fresh = anew(lake)
    assert shown(lake) == fresh


def test_marts_of_spark_which_keeps_no_memory_are_told_apart_by_their_files(lake: Lake) -> None:
    built, place = marts.published(lake), marts.locations(lake)["usage_daily"]
    assert built
    rows = deltalake.DeltaTable(place.uri).to_pyarrow_table()
    for _ in range(2):
        # The second time after the mart was damaged, by a build that was killed before it came to the views.
        place.clear()
        versions = {**built.versions, "usage_daily": marts.write(lake, "usage_daily", rows)}
        marts.publish(lake, replace(built, memory="", versions=versions), marts.tag(lake))
        viewfile.update(lake)
        with duckdb.connect(str(lake.path / viewfile.FILE), read_only=True) as connection:
            [(count,)] = connection.execute("select count(*) from usage_daily").fetchall()
        assert count == rows.num_rows


def test_a_view_that_is_no_longer_there_is_dropped(lake: Lake, service: Emulator) -> None:
    (lake.path / "marts" / marts.CURRENT).unlink()
    swept(service, lake)
    found = shown(lake)
    assert "usage_daily" not in found
    assert found == anew(lake)


def test_the_file_does_not_grow_with_what_is_written(lake: Lake) -> None:
    fresh, current = anew(lake), lake.path / "marts" / marts.CURRENT
    size = (lake.path / viewfile.FILE).stat().st_size
    for number in range(40):
        away = current.with_name("away.json")
        (away if number % 2 else current).rename(current if number % 2 else away)
        viewfile.update(lake)
    assert shown(lake) == fresh
    assert (lake.path / viewfile.FILE).stat().st_size <= 1.5 * size
