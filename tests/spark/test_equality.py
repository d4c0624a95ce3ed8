"""What a cluster works out is what DuckDB works out: every mart, report and check, row by row and to the last
digit."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import odd
import pyarrow as pa
import pytest
from odd import Pair

from bench.clusters import Cluster
from etl import checks, marts, periods, reports, spark, sparkbuild, sparkquery
from etl.build import build
from etl.lake import Lake
from etl.marts import NothingMetered
from etl.reports import Asked
from etl.settings import Settings
from etl.sparkviews import Views

FROM = "2026-10-12"


def exact(rows: pa.Table) -> list[list[tuple[str, Any]]]:
    """Rows with the kind of each value, and of a number all decimals that it is written with."""
    return [[(name, _exact(value)) for name, value in row.items()] for row in rows.to_pylist()]


def _exact(value: Any) -> tuple[str, Any]:
    if isinstance(value, Decimal):
        return "decimal", value.as_tuple()
    return type(value).__name__, value.isoformat() if hasattr(value, "isoformat") else value


def asked(report: reports.Report) -> Asked:
    """Half a year, in which the odd lake has all of its days, as far as the report takes a period."""
    options = report.options
    return Asked(
        since=FROM if "--from" in options else None,
        until="2027-05-01" if "--to" in options else None,
        budget="12345.6789" if "--budget" in options else None,
        hours="0.5" if "--hours" in options else None,
    )


@cache
def answers(lake: Lake, master: str) -> dict[str, pa.Table]:
    """What Spark answers to every report over a lake, in one session."""
    with sparkquery.reading(master, lake) as read:
        found = read(periods.BUILT)
        built = periods.built_by(found)
        return {
            each.name: read(each.sql, reports.values(lake, each, asked(each), built))
            for each in reports.reports()
        }


@pytest.mark.parametrize("name", marts.SEEN)
def test_a_mart_is_the_same_row_by_row(name: str, pair: Pair) -> None:
    ours, theirs = odd.seen(pair.by_duckdb)[name], odd.seen(pair.by_spark)[name]
    assert ours.num_rows > 0
    assert theirs.schema == ours.schema
    assert exact(theirs) == exact(ours)


def test_a_build_tells_the_same_rows_days_and_findings(pair: Pair) -> None:
    assert pair.told_by_spark == pair.told_by_duckdb
    assert {each.status for each in pair.told_by_spark.findings} == {"ok", "warn"}


def test_a_check_that_fails_is_told_in_the_same_words(pair: Pair, cluster: Cluster, tmp_path: Path) -> None:
    told = {
        name: pa.table({"project_id": ["one", "two"], "running_us": pa.array(each, pa.int64())})
        for name, each in {"usage_hourly": [5, 3], "sessions": [7, 3]}.items()
    }
    session = spark.session(cluster.master)
    work = sparkbuild.Work(session, Views(session, pair.by_spark), tmp_path)
    with duckdb.connect() as connection:
        for name, rows in told.items():
            work.give(name, rows)
            connection.register(name, rows)
        ours = checks.check_built(connection, ["sessions"], True)
    assert [each.status for each in ours] == ["fail"]
    assert work.checked(["sessions"]) == ours


@pytest.mark.parametrize("name", [each.name for each in reports.reports()])
def test_a_report_is_the_same_row_by_row(name: str, pair: Pair, cluster: Cluster) -> None:
    chosen = reports.report(name)
    values = reports.values(pair.by_duckdb, chosen, asked(chosen))
    ours, theirs = (
        reports.answer(pair.by_duckdb, chosen, values),
        answers(pair.by_spark, cluster.master)[name],
    )
    assert theirs.column_names == ours.column_names
    assert exact(theirs) == exact(ours)


def test_no_report_is_compared_empty(pair: Pair, cluster: Cluster) -> None:
    empty = {name for name, rows in answers(pair.by_spark, cluster.master).items() if not rows.num_rows}
    assert empty == set(), "the odd lake lacks something"


def test_a_build_by_duckdb_after_one_by_spark_is_as_without_it(
    pair: Pair, template: Lake, tmp_path: Any
) -> None:
    after = odd.copy(pair.by_spark, tmp_path / "after")
    assert odd.built_by_duckdb(after) == pair.told_by_duckdb
    assert odd.built_by_duckdb(after).days == ()
    ours, theirs = odd.seen(pair.by_duckdb), odd.seen(after)
    assert {name: rows.schema for name, rows in theirs.items()} == {
        name: rows.schema for name, rows in ours.items()
    }
    assert {name: exact(rows) for name, rows in theirs.items()} == {
        name: exact(rows) for name, rows in ours.items()
    }


def test_nothing_is_metered_where_nothing_was_swept(cluster: Cluster, tmp_path: Any) -> None:
    from etl import sparkbuild

    lake = Lake(tmp_path / "lake")
    lake.create()
    settings = Settings(lake=str(lake.path), engine="spark", master=cluster.master)
    with pytest.raises(NothingMetered) as by_spark:
        sparkbuild.build(settings, lake)
    with pytest.raises(NothingMetered) as by_duckdb:
        build(settings, lake)
    assert str(by_spark.value) == str(by_duckdb.value)
