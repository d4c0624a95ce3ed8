"""A query reads the tables of the lake; nothing that is typed can write, or read anything else."""

from __future__ import annotations

import os
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from etl import query, views
from etl.dictionary import TABLES
from etl.errors import DemeterError, UsageError
from etl.lake import Lake


def answer(lake: Lake, text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = query.run(lake, text).to_pylist()
    return found


def refusal(lake: Lake, text: str) -> str:
    """The one-line message with which a query is refused."""
    with pytest.raises(UsageError) as raised:
        query.run(lake, text)
    message = str(raised.value)
    assert "\n" not in message
    return message


def files(lake: Lake) -> dict[str, tuple[int, int]]:
    """Every file of a lake, with its size and the time of its last change."""
    found = [path for path in lake.path.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("select count(*) as n from instances", [{"n": 8}]),
        ("from users select user_id order by all", [{"user_id": "u-ann"}, {"user_id": "u-bo"}]),
        ("with x as (select 1 as n) select n from x;", [{"n": 1}]),
        (
            "with recursive r as (select 1 n union all select n + 1 from r where n < 3) from r where n = 3",
            None,
        ),
        ("with x as materialized (select 1 as n) from x", [{"n": 1}]),
        ("values (1)", [{"col0": 1}]),
        ("table pools", None),
        ("(select 1 as n) union all (select 2)", [{"n": 1}, {"n": 2}]),
        ("describe instances", None),
        ("describe select 1", None),
        ("show tables", None),
        ("summarize users", None),
        ("pivot instances on status in ('RUNNING', 'STOPPED') using count(*) group by project_id", None),
        ("from range(2)", [{"range": 0}, {"range": 1}]),
        ("select unnest([1, 2]) as n", [{"n": 1}, {"n": 2}]),
        ("select list_transform([1], lambda x: x + 1) as n", [{"n": [2]}]),
        ("select count(*) > 40 as many from information_schema.columns", [{"many": True}]),
        ("-- a comment\nselect 1 as n -- and one more", [{"n": 1}]),
        ("explain select 1", None),
        ("-- why?\nexplain analyze select count(*) from instances", None),
        ("explain (format json) select 1", None),
    ],
)
def test_every_way_to_read_is_open(text: str, rows: list[dict[str, object]] | None, small_lake: Lake) -> None:
    found = answer(small_lake, text)
    assert found == rows if rows else found


def test_every_table_and_history_can_be_read(small_lake: Lake) -> None:
    names = [name for table in TABLES for name in (table.name, table.history) if name]
    counts = " union all by name ".join(
        f"select count(*) as n, '{name}' as name from {name}" for name in names
    )
    assert [row["name"] for row in answer(small_lake, counts)] == names


@pytest.mark.parametrize(
    "text",
    [
        "create table x (a int)",
        "create view x as select 1",
        "create temp macro x() as 1",
        "insert into instances values (1)",
        "update instances set status = 'x'",
        "delete from instances",
        "truncate instances",
        "drop view instances",
        "alter table instances add column a int",
        "merge into users using users as u on true when matched then delete",
        "copy (select 1) to 'FILE'",
        "copy instances to 'FILE' (format parquet)",
        "export database 'FILE'",
        "import database 'FILE'",
        "attach 'FILE' as x",
        "detach memory",
        "install httpfs",
        "load httpfs",
        "set threads = 1",
        "reset threads",
        "use memory",
        "set variable a = 1",
        "pragma enable_profiling",
        "pragma memory_limit = '1GB'",
        "call enable_logging(storage = 'file', storage_path = 'FILE')",
        "from enable_logging(storage = 'file', storage_path = 'FILE')",
        "select 1 where exists (from enable_logging(storage = 'file', storage_path = 'FILE'))",
        "begin",
        "prepare x as select 1",
        "execute x",
        "vacuum",
        "checkpoint",
        "from checkpoint('memory')",
        "with x as (copy (select 1) to 'FILE') select 1",
        "with x as (insert into users values (1) returning *) from x",
        "select (with x as (copy (select 1) to 'FILE') select 1)",
        "explain analyze copy (select 1) to 'FILE'",
        "explain (analyze) copy (select 1) to 'FILE'",
        "explain analyze with x as (copy (select 1) to 'FILE') select 1",
        "explain (/*) select 1 --*/ analyze) copy (select 1) to 'FILE'",
        "explain /* select 1 -- */ analyze copy (select 1) to 'FILE'",
        "/* explain select 1 */ copy (select 1) to 'FILE'",
        "from query('with x as (copy (select 1) to ''FILE'') select 1')",
        "from json_execute_serialized_sql(json_serialize_sql('select 1'))",
        "select 1; copy (select 1) to 'FILE'",
    ],
)
def test_nothing_can_be_written_anywhere(text: str, small_lake: Lake, tmp_path: Path) -> None:
    before = files(small_lake)
    for place in (small_lake.path / "tables" / "stolen", tmp_path / "stolen"):
        refusal(small_lake, text.replace("FILE", str(place)))
        assert not place.exists()
    assert files(small_lake) == before


def test_a_check_that_let_a_write_through_would_still_not_change_a_table(small_lake: Lake) -> None:
    with views.connect(small_lake) as connection:
        connection.execute("begin transaction read only")
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute("create table x as select 1")


@pytest.mark.parametrize(
    "text",
    [
        "from read_text('FILE')",
        "from read_blob('FILE')",
        "from read_csv('FILE')",
        "from read_json('FILE')",
        "from read_parquet('FILE')",
        "from parquet_metadata('FILE')",
        "from sniff_csv('FILE')",
        "from read_duckdb('FILE')",
        "from glob('FILE')",
        "from 'FILE'",
        "from 'FILE.csv'",
        "from 'FILE.parquet'",
        "from query_table('FILE.csv')",
        "select * from instances, (from read_text('FILE'))",
        "describe from read_text('FILE')",
        "from duckdb_secrets()",
        "select getenv('HOME')",
        "from 'https://127.0.0.1:1/x.parquet'",
        "from 's3://bucket/x.parquet'",
    ],
)
def test_nothing_outside_of_the_lake_can_be_read(text: str, small_lake: Lake, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for path in (outside, Path(f"{outside}.csv"), Path(f"{outside}.parquet")):
        path.write_text("a secret\n")
    through = small_lake.path / "tables" / os.path.relpath(outside, small_lake.path / "tables")
    for place in (outside, through, small_lake.path / "demeter.json"):
        assert "a secret" not in refusal(small_lake, text.replace("FILE", str(place)))


def test_a_variable_of_the_program_is_no_table(small_lake: Lake) -> None:
    stolen = pa.table({"a": [1]})
    assert stolen.num_rows == 1
    assert "stolen" in refusal(small_lake, "from stolen")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no query"),
        (" ;\n-- nothing", "there is no query"),
        ("select 1; select 2", "2 statements were given: run them one at a time"),
        ("pivot instances on status", "name them, ON column IN"),
        ("selec 1", 'this is not SQL: syntax error at or near "selec"'),
        ("select\n1 +", "this is not SQL: syntax error"),
        ("from instnces", 'Table with name instnces does not exist! Did you mean "instances"?'),
        ("select nam from users", 'Referenced column "nam" not found in FROM clause!'),
        ("select 'a'::int", "Could not convert string 'a'"),
        ("select error('one\ntwo')", "one two"),
        ("select '\ud800'", "not Unicode"),
        ("select " + "+".join(["1"] * 900), "nested too deeply"),
        ("create table x (a int)", "CREATE is refused: queries only read, with SELECT"),
        ("from read_text('x')", "read_text() is refused: queries read the lake's tables only"),
    ],
)
def test_what_is_wrong_with_a_query_is_said_in_one_line(text: str, message: str, small_lake: Lake) -> None:
    assert message in refusal(small_lake, text)


def test_an_error_past_the_first_line_says_which(small_lake: Lake) -> None:
    assert refusal(small_lake, "select 1\nfrom\n3 +").endswith("(line 3); mend it there")


def test_times_are_in_utc(small_lake: Lake) -> None:
    first = answer(small_lake, "select min(observed_from) as first from sweeps")
    assert first == [{"first": datetime(2026, 10, 12, tzinfo=UTC)}]


def test_an_interval_is_text_that_every_format_can_hold(small_lake: Lake) -> None:
    text = (
        "select interval 14 months + interval 3 days as a, interval '-90.5' second as b, "
        "interval 0 second as c, null::interval as d"
    )
    assert answer(small_lake, text) == [
        {"a": "14 months 3 days 00:00:00", "b": "-00:01:30.5", "c": "00:00:00", "d": None}
    ]


def test_a_plan_has_a_row_for_each_line(small_lake: Lake) -> None:
    lines = [row["plan"] for row in answer(small_lake, "explain select count(*) from instances")]
    assert len(lines) > 10
    assert not any("\n" in str(line) for line in lines)


def test_a_text_is_split_into_its_statements() -> None:
    first, second = query.split("select ';'; -- one\n from users;")
    assert first.startswith("select ';'")
    assert second.rstrip("; ").endswith("from users")
    assert query.split("  ") == []


def test_a_lake_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"no lake at {tmp_path}" in refusal(Lake(tmp_path), "select 1")


def test_an_interrupt_ends_a_query_that_runs(small_lake: Lake) -> None:
    main = threading.main_thread().ident
    assert main is not None
    with views.connect(small_lake) as connection:
        threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            query._result(connection, "select count(*) from range(4000000000) t(a) where hash(a) = 3", None)
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_file_that_is_missing_is_told_as_such(monkeypatch: pytest.MonkeyPatch, small_lake: Lake) -> None:
    def fails(connection: object, text: str, values: object) -> pa.Table:
        raise duckdb.IOException("IO Error: No files found that match\nLINE 1: x")

    monkeypatch.setattr(query, "_result", fails)
    with pytest.raises(DemeterError, match="the lake cannot be read: No files found that match"):
        query.run(small_lake, "select 1")


def test_a_long_query_shows_no_progress_among_its_rows(small_lake: Lake) -> None:
    setting = "select value from duckdb_settings() where name = 'enable_progress_bar'"
    assert query.run(small_lake, setting).to_pylist() == [{"value": "false"}]
