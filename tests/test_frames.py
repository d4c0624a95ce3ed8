"""A lake from Python: the same answers as the command line's, in pandas, Arrow and polars."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import lakes
import pyarrow as pa
import pytest
from click.testing import CliRunner

import etl
from etl import query, render, reports, schema
from etl.build import build
from etl.cli import main
from etl.emulator import Clock, Emulator
from etl.errors import UsageError
from etl.frames import Result
from etl.lake import Lake
from etl.settings import Settings

HEAVY = {"click", "deltalake", "duckdb", "marimo", "numpy", "pandas", "polars", "pyarrow"}
ALL = {"from_": "2026-10-12", "to": date(2026, 10, 14)}


def shown(lake: Lake, *arguments: str) -> Any:
    """What `demeter report` prints as JSON."""
    command = ["--lake", str(lake.path), "report", *arguments, "--format", "json"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(result: Result) -> str:
    return b"".join(render.render(result.arrow(), "json")).decode()


def options(name: str) -> tuple[dict[str, Any], list[str]]:
    """What a report is asked for: from Python, and on the command line."""
    taken = reports.report(name).options
    if "--to" in taken:
        return dict(ALL), ["--from", "2026-10-12", "--to", "2026-10-14"]
    if "--budget" in taken:
        return {"budget": 1500.5}, ["--budget", "1500.5"]
    return ({"hours": 2}, ["--hours", "2"]) if "--hours" in taken else ({}, [])


@pytest.mark.parametrize("name", [report.name for report in reports.reports()])
def test_a_report_is_that_of_the_command_line_digit_by_digit(name: str, built_lake: Lake) -> None:
    told, typed = options(name)
    result = etl.open_lake(built_lake.path).report(name, **told)
    assert as_json(result) == shown(built_lake, name, *typed)
    assert (result.name, result.question) == (name, reports.report(name).question)


def test_inside_of_a_with_the_reports_are_the_same(built_lake: Lake) -> None:
    with etl.open_lake(built_lake.path) as lake:
        for name in ("summary", "budget", "usage_by_hour_of_day", "queue_waits", "inventory_by_user"):
            told, typed = options(name)
            assert as_json(lake.report(name, **told)) == shown(built_lake, name, *typed)


def test_a_report_tells_its_days_its_bounds_and_its_types(built_lake: Lake) -> None:
    found = etl.open_lake(built_lake.path).report("usage", by="user", last="1 day")
    assert found.period == "2026-10-12 to 2026-10-12, both included"
    assert found.bounds == {
        "running_hours": ("running_hours_min", "running_hours_max"),
        "billed_cost": ("billed_cost_min", "billed_cost_max"),
    }
    assert {name: found.types[name] for name in ("user_name", "instance_count", "running_hours")} == {
        "user_name": "string",
        "instance_count": "int64",
        "running_hours": "decimal128(38, 10)",
    }
    for row in found:
        assert row["running_hours_min"] <= row["running_hours"] <= row["running_hours_max"]


def test_every_digit_arrives_in_pandas_arrow_and_polars(built_lake: Lake) -> None:
    found = etl.open_lake(built_lake.path).report("summary", **ALL)
    [row] = found.rows()
    costs = ["billed_cost_min", "billed_cost", "billed_cost_max", "running_hours"]
    exact = [row[name] for name in costs]
    assert all(isinstance(value, Decimal) for value in exact)
    assert [found.df()[name].iloc[0] for name in costs] == exact
    assert [found.pl()[name][0] for name in costs] == exact
    assert found.arrow().to_pylist() == [row]
    json_costs = json.loads(as_json(found), parse_float=Decimal)[0]
    assert [json_costs[name] for name in costs] == exact


def test_what_a_float_cannot_hold_is_kept_beside_a_null(small_lake: Lake) -> None:
    found = etl.open_lake(small_lake.path).sql(
        "select unnest([9007199254740993, null]) as whole, unnest([true, null]) as known,"
        " unnest([timestamptz '2026-10-12 04:30:00.123456Z', null]) as seen_at,"
        " unnest([255, null])::utinyint as small"
    )
    frame = found.df()
    assert [str(kind) for kind in frame.dtypes] == ["Int64", "boolean", "datetime64[us, UTC]", "UInt8"]
    assert frame["whole"][0] == 9007199254740993
    assert frame["whole"].isna().tolist() == frame["seen_at"].isna().tolist() == [False, True]
    assert frame["seen_at"][0] == datetime(2026, 10, 12, 4, 30, 0, 123456, UTC)
    assert found.pl()["whole"].to_list() == [9007199254740993, None]


def test_a_query_takes_values_and_numbers_columns_of_the_same_name(small_lake: Lake) -> None:
    found = etl.open_lake(small_lake.path).sql(
        "select instance_id, name as instance_id from instances where name = $name", name="notebook-1"
    )
    # DuckDB 1.5 numbers the second one itself, and otherwise.
    first, second = found.types
    assert (first, second[:-1]) == ("instance_id", "instance_id_")
    assert list(found) == [{first: "DE-1", second: "notebook-1"}]
    assert found.pl().columns == list(found.df().columns) == [first, second]


def test_a_result_is_read_as_demeter_prints_it(small_lake: Lake) -> None:
    lake = etl.open_lake(small_lake.path)
    assert repr(lake.sql("select 1.005 as cost, 'x' as name")).splitlines()[2].split() == ["1.00", "x"]
    long = lake.sql("select * from range(1000)")
    assert len(long) == 1000
    assert repr(long).splitlines()[-1] == "the first of 1,000 rows"
    assert repr(lake) == f"<the lake {small_lake.path}>"


def test_tables_columns_and_reports_are_told_with_their_meaning(small_lake: Lake) -> None:
    lake = etl.open_lake(small_lake.path)
    assert [row["table"] for row in lake.tables()] == [row["table"] for row in schema.tables()]
    columns = {row["column"]: row for row in lake.columns("usage_daily")}
    assert columns["running_seconds"]["unit"] == "seconds"
    assert columns["running_seconds"]["meaning"] == "running time by the best estimate"
    assert {row["report"] for row in lake.reports()} == {each.name for each in reports.reports()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("delete from instances", "DELETE is refused: queries only read"),
        ("copy instances to 'out.csv'", "COPY is refused"),
        ("select * from read_csv('secret.csv')", "read_csv() is refused"),
        ("from 'secret.parquet'", "the query fails"),
        ("install httpfs", "is refused"),
        ("set memory_limit = '1GB'", "is refused"),
        ("select 1; select 2", "2 statements were given"),
        ("select nme from instances", "the query fails: "),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_only_the_lake_is_read_and_nothing_is_written(
    text: str, said: str, held: bool, small_lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.csv").write_text("secret\n1\n")
    (tmp_path / "secret.parquet").write_text("secret\n1\n")
    lake = etl.open_lake(small_lake.path)
    with lake if held else nullcontext(), pytest.raises(UsageError) as caught:
        lake.sql(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv", "secret.parquet"]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("missing", "there is no lake at "),
        ("gs://bucket/lake", "the lake gs://bucket/lake is a URL: give a directory, or s3://BUCKET/PREFIX"),
        ("s3://bucket/lake", "a lake in an object store needs an extra: pip install 'demeter-etl[s3]'"),
        ("file", "there is no lake at "),
        ("newer", "is of version 99 and this demeter knows"),
    ],
)
def test_a_lake_that_cannot_be_opened_is_told_in_a_line(place: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "demeter.json").write_text('{"version": 99}')
    with pytest.raises(UsageError) as caught:
        etl.open_lake(place if "://" in place else tmp_path / place)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "sumary"}, "there is no report 'sumary': did you mean 'summary'?"),
        ({"name": "usage"}, "the report usage wants to know by what"),
        ({"name": "queue_now", "last": "7 days"}, "the report queue_now takes no --last: it is about now"),
        ({"name": "summary", "last": "a week"}, "--last 'a week' is no number of days"),
        ({"name": "summary", "last": "7 days", "to": "2026-10-13"}, "--last is a period of its own"),
        ({"name": "summary", "tz": "Europe/Berlin"}, "this lake is built in UTC"),
    ],
)
def test_what_a_report_does_not_take_is_told_in_a_line(
    asked: dict[str, Any], said: str, built_lake: Lake
) -> None:
    with pytest.raises(UsageError) as caught:
        etl.open_lake(built_lake.path).report(**asked)
    assert said in str(caught.value)


def test_before_a_build_a_report_says_to_run_one(small_lake: Lake) -> None:
    with etl.open_lake(small_lake.path) as lake, pytest.raises(UsageError, match="run `demeter build` first"):
        lake.report("summary")


def test_inside_of_a_with_a_lake_stands_still_and_outside_it_moves(tmp_path: Path) -> None:
    directory = lakes.of_documents(tmp_path / "lake").path
    count = "select count(*) as sweep_count from sweeps"
    lake = etl.open_lake(directory)
    with lake:
        before = lake.sql(count).rows()
        with Emulator.of_documents([], Clock.at("2026-10-13T00:00:00Z")) as service:
            grown = lakes.sweep_into(directory, service)
        assert lake.sql(count).rows() == before
        with pytest.raises(UsageError, match="held at a moment already"):
            lake.__enter__()
    after = query.run(grown, count).to_pylist()
    assert after[0]["sweep_count"] > before[0]["sweep_count"]
    assert lake.sql(count).rows() == after


def test_the_settings_name_the_lake_where_no_path_is_given(
    small_lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no lake at .*: run `demeter sweep`"):
        etl.open_lake()
    monkeypatch.setenv("DEMETER_LAKE", str(small_lake.path))
    assert etl.open_lake().path == small_lake.path


def test_without_polars_the_way_to_get_it_is_told(small_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UsageError, match="pip install polars"):
        etl.open_lake(small_lake.path).sql("select 1").pl()


def test_importing_etl_loads_nothing_but_itself() -> None:
    program = "import sys; before = set(sys.modules); import etl; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert {name for name in done.stdout.split() if name.startswith("etl.")} == set()
    assert {name.partition(".")[0] for name in done.stdout.split()} & HEAVY == set()


def test_results_of_nothing_keep_their_types(small_lake: Lake) -> None:
    found = etl.open_lake(small_lake.path).sql("select instance_id, observed_at from instances where false")
    assert found.arrow().schema.types == [pa.string(), pa.timestamp("us", tz="UTC")]
    assert (len(found), len(found.df()), len(found.pl()), found.rows()) == (0, 0, 0, [])


def test_a_lake_that_was_built_anew_is_told_anew(tmp_path: Path) -> None:
    lake = lakes.of_documents(tmp_path / "lake")
    opened = etl.open_lake(lake.path)
    with pytest.raises(UsageError, match="nothing is built yet"):
        opened.report("summary")
    build(Settings(tz="UTC"), lake)
    assert as_json(opened.report("summary")) == shown(lake, "summary")
