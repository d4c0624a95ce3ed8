"""A lake in an object store holds and answers what one in a directory does, by every command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import lakes
import pytest
from click.testing import CliRunner, Result
from conftest import ObjectStore, copied, keys
from support import OF_THE_RUN, environment_for, one_line, swept, views_of

import etl
from etl import marts, metrics, raw, reports, views
from etl.build import build
from etl.cli import main
from etl.dictionary import TABLES, kept
from etl.emulator import Clock, Emulator
from etl.lake import Lake
from etl.ranges import WHOLE_BYTES
from etl.settings import Settings

BUILT = "s3://lakes/built"
DIFFERS = {*OF_THE_RUN, "finished_at", "from_sweep_id", "to_sweep_id"}


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    """What ran when the lakes were swept, and is there still."""
    with Emulator.of_documents([], Clock.at(lakes.MIDNIGHT)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def both(
    service: Emulator, object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> tuple[Lake, Lake]:
    """The same sweeps in a directory and in the store, and marts built from them, with prices."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "prices.csv").write_text(lakes.PRICES)
    found = Lake(folder / "lake"), Lake(f"{BUILT}-{worker_id}")
    for documents in lakes.states():
        service.documents = documents
        for lake in found:
            assert swept(service, lake).verdict == "complete"
        service.clock.advance(hours=9)
    for lake in found:
        build(Settings(tz="UTC", prices=str(folder / "prices.csv")), lake)
    return found


@pytest.fixture
def lake(both: tuple[Lake, Lake], url: str) -> Lake:
    """A copy of the one in the store, for a test to change."""
    return Lake(copied(str(both[1]), url))


def same(rows: list[dict[str, Any]]) -> list[str]:
    """Rows without what differs from run to run, in order."""
    return sorted(
        json.dumps({name: str(value) for name, value in row.items() if name not in DIFFERS}) for row in rows
    )


def demeter(lake: Lake, service: Emulator, *words: str) -> Result:
    return CliRunner().invoke(main, words, env=environment_for(service, str(lake), DEMETER_TZ="UTC"))


def test_the_tables_and_the_marts_are_equal(both: tuple[Lake, Lake]) -> None:
    names = [*(each.name for each in TABLES), *(each.history for each in kept()), *marts.SEEN]
    here, there = (views_of(lake, *names) for lake in both)
    for name in names:
        assert (name, same(there[name])) == (name, same(here[name]))
    assert all(len(here[name]) > 0 for name in ("sweeps", "instances", "usage_daily", "cost_daily", "states"))


@pytest.mark.parametrize("name", [each.name for each in reports.reports()])
def test_every_report_is_equal(name: str, both: tuple[Lake, Lake]) -> None:
    here, there = (reports.run(lake, name).to_pylist() for lake in both)
    assert same(there) == same(here)


def test_the_gauges_of_a_monitor_and_the_answers_in_python_are_equal(both: tuple[Lake, Lake]) -> None:
    here, there = (
        [each for each in metrics.gauges(lake) if "seconds" not in each.name and "time" not in each.name]
        for lake in both
    )
    assert there == here
    opened = etl.open_lake(str(both[1]))
    assert opened.sql("select count(*) as n from instances").rows() == [{"n": 8}]
    assert repr(opened) == f"<the lake {both[1]}>"


def test_the_store_holds_raw_pages_tables_marts_and_no_file_of_views(both: tuple[Lake, Lake]) -> None:
    found = keys(str(both[1]))
    parts = {"demeter.json", "locks", "marts", "prices", "raw", "tables"}
    assert {key.partition("/")[0] for key in found} == parts
    pages = [key for key in found if key.startswith("raw/")]
    assert len(pages) == 6
    assert {key.rpartition("/")[2] for key in pages} == {"plan.json", "slice-00000.jsonl.zst"}
    spool = both[1].store.landing("raw")
    assert [path for path in spool.rglob("*") if path.is_file()] == []


def test_a_query_reads_the_lake_and_nothing_else(both: tuple[Lake, Lake], service: Emulator) -> None:
    lake = both[1]
    beside = lake.store.uri("prices/current.json")
    for query in (f"from '{beside}'", f"from read_json('{beside}')", "from '/etc/passwd'"):
        result = demeter(lake, service, "sql", query)
        assert (result.exit_code, result.stdout) == (2, "")
    refused = pytest.raises(duckdb.PermissionException, match="file system operations are disabled")
    with views.connect(lake) as connection, refused:
        connection.execute(f"from read_json('{beside}')")


COMMANDS = (
    ("check",),
    ("report", "-o", "OUT/report.html", "--format", "html"),
    ("sql", "select count(*) from usage_daily"),
    ("explain", "DE-1", "--day", "2026-10-12"),
    ("export", "focus", "--month", "2026-10", "-o", "OUT"),
    ("replay",),
    ("maintain",),
    ("run",),
    ("sweep", "--all"),
)


def test_every_command_does_its_work(lake: Lake, service: Emulator, tmp_path: Path) -> None:
    for words in COMMANDS:
        result = demeter(lake, service, *(word.replace("OUT", str(tmp_path)) for word in words))
        assert (words, result.exit_code, result.stderr if result.exit_code else "") == (words, 0, "")
    assert len(views_of(lake, "sweeps")["sweeps"]) == 5


def test_a_person_is_forgotten_in_every_object(lake: Lake, service: Emulator, tmp_path: Path) -> None:
    assert demeter(lake, service, "forget", "ann").exit_code == 0
    held = {key: lake.place(key).read() for key in keys(str(lake))}
    pages = [key for key in held if key.endswith(".zst")]
    assert len(pages) == 3
    lines = [line for key in pages for line in raw._whole_lines(lake.place(key))]
    assert lines
    assert not any("u-ann" in line for line in lines)
    assert [key for key, content in held.items() if b"u-ann" in content] == []


def test_raw_pages_expire_and_what_is_unused_goes(lake: Lake, service: Emulator) -> None:
    result = demeter(lake, service, "maintain")
    assert result.exit_code == 0
    assert "raw: removed 0 sweeps" in result.stdout
    before = len(keys(str(lake)))
    environment = environment_for(service, str(lake), DEMETER_RAW_DAYS="0.00001")
    result = CliRunner().invoke(main, ["maintain"], env=environment)
    assert result.exit_code == 0
    assert "raw: removed 3 sweeps" in result.stdout
    assert [key for key in keys(str(lake)) if key.startswith("raw/")] == []
    assert len(keys(str(lake))) < before


def test_a_file_that_is_gone_is_named(lake: Lake, service: Emulator) -> None:
    gone = lake.files("instances")[0]
    lake.store.remove(lake.store.name(gone))
    result = demeter(lake, service, "maintain")
    assert result.exit_code == 2
    assert one_line(result) == f"{gone} cannot be read (it is missing): restore it from a backup"


def test_a_large_file_is_read_in_parts(url: str) -> None:
    lake, rows = Lake(url), "select range as n, md5(range::varchar) as text from range(400000)"
    place = lake.place("tables/large.parquet")
    with duckdb.connect() as connection:
        lake.attach(connection)
        with place.drafted() as path:
            connection.execute(f"copy ({rows}) to '{path}' (format parquet)")
            assert path.stat().st_size > 2 * WHOLE_BYTES
        found = connection.execute(
            f"select count(*), sum(n), count(distinct text) from read_parquet('{place.uri}')"
        ).fetchone()
    assert found == (400000, 400000 * 399999 // 2, 400000)


def test_a_lake_that_is_not_there_and_one_of_another_kind_of_url_are_told(
    service: Emulator, object_store: ObjectStore
) -> None:
    said = {
        "s3://lakes/none": "there is no lake at s3://lakes/none: run `demeter sweep`, or set DEMETER_LAKE",
        "s3://": "the lake s3:// names no bucket and prefix: write s3://BUCKET/PREFIX",
        "gs://lakes/one": "the lake gs://lakes/one is a URL: give a directory, or s3://BUCKET/PREFIX",
    }
    for address, message in said.items():
        result = CliRunner().invoke(main, ["report", "summary"], env={"DEMETER_LAKE": address})
        assert (result.exit_code, one_line(result)) == (2, message)


def test_one_who_had_a_table_open_before_its_log_was_cut_finds_the_newest_rows(
    both: tuple[Lake, Lake], lake: Lake
) -> None:
    reader = Lake(str(lake))
    opened = reader.delta("slices").version()
    for _ in range(2):
        lake.append("slices", lake.delta("slices").to_pyarrow_table().slice(0, 1))
    lake.delta("slices").create_checkpoint()
    base = lake.delta("slices").version()
    log = lake.location("slices") / "_delta_log"
    for version in range(base):
        (log / f"{version:020}.json").remove()
    assert opened < base
    assert reader.delta("slices").version() == base
