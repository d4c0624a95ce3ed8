"""`--engine spark` as it is typed: reports, queries that only read, replays, and what is said of errors."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import odd
import pytest
from click.testing import CliRunner, Result
from lakes import of_documents
from odd import Pair
from support import tables_of

from bench.clusters import Cluster, free_port
from etl import spark
from etl.cli import main
from etl.dictionary import kept
from etl.lake import Lake
from etl.replay import replay
from etl.settings import Settings


def typed(lake: Lake, *words: str) -> Result:
    return CliRunner().invoke(main, ["--lake", str(lake.path), *words])


def said(result: Result) -> str:
    """The one line on standard error."""
    [line] = result.stderr.splitlines()
    return line.removeprefix("demeter: ")


@pytest.mark.parametrize("name", ["summary", "forgotten"])
def test_a_report_is_written_as_by_duckdb(name: str, pair: Pair, cluster: Cluster) -> None:
    words = ("report", name, "--format", "csv")
    ours = typed(pair.by_duckdb, *words)
    theirs = typed(pair.by_spark, *words, "--engine", "spark", "--master", cluster.master)
    assert (ours.exit_code, theirs.exit_code) == (0, 0), theirs.output
    assert theirs.stdout == ours.stdout
    assert len(list(csv.reader(io.StringIO(ours.stdout)))) > 1


def test_a_page_of_one_report_is_the_same(pair: Pair, cluster: Cluster) -> None:
    words = ("report", "usage", "--by", "user", "--format", "html")
    ours = typed(pair.by_duckdb, *words)
    theirs = typed(pair.by_spark, *words, "--engine", "spark", "--master", cluster.master)
    assert (ours.exit_code, theirs.exit_code) == (0, 0), theirs.output
    assert theirs.stdout == ours.stdout


def test_a_query_is_in_the_sql_of_spark(pair: Pair, cluster: Cluster) -> None:
    query = "select max(named_struct('on', usage_date).on) as last_date, count(*) as day_count from coverage"
    words = ("sql", query, "--format", "json", "--engine", "spark", "--master", cluster.master)
    coverage = odd.seen(pair.by_duckdb)["coverage"]
    last = max(coverage["usage_date"].to_pylist())
    assert json.loads(typed(pair.by_spark, *words).stdout) == [
        {"last_date": str(last), "day_count": coverage.num_rows}
    ]


@pytest.mark.parametrize("query", [f"select count(*) as n from {each.history}" for each in kept()[:3]])
def test_a_history_has_the_rows_of_committed_sweeps_alone(query: str, pair: Pair, cluster: Cluster) -> None:
    ours = typed(pair.by_duckdb, "sql", query, "--format", "json")
    theirs = typed(
        pair.by_duckdb, "sql", query, "--format", "json", "--engine", "spark", "--master", cluster.master
    )
    assert json.loads(theirs.stdout) == json.loads(ours.stdout)


@pytest.mark.parametrize(
    "query",
    [
        "drop view coverage",
        "create table mine as select 1",
        "insert overwrite directory 'build/out' using parquet select 1",
        "from coverage insert overwrite directory 'build/out' using parquet select *",
        "select transform(usage_date) using 'cat' as (day) from coverage",
        "with told as (select transform(1) using 'cat' as (day)) select * from told",
        "select exists(select transform(1) using 'cat' as (day)) as x",
        "execute immediate 'drop view coverage'",
        "begin select 1; end",
        "set spark.sql.ansi.enabled = false",
        "cache table coverage",
        "add jar 'other.jar'",
    ],
)
def test_what_does_more_than_read_is_refused(query: str, pair: Pair, cluster: Cluster) -> None:
    result = typed(pair.by_spark, "sql", query, "--engine", "spark", "--master", cluster.master)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said(result) == (
        "this statement is refused: queries only read, with SELECT, FROM, WITH, VALUES and TABLE"
    )


@pytest.mark.parametrize("function", ["reflect", "java_method", "try_reflect"])
def test_a_query_calls_nothing_of_java(function: str, pair: Pair, cluster: Cluster) -> None:
    query = f"select upper({function}('java.lang.System', 'getProperty', 'user.home')) as home"
    result = typed(pair.by_spark, "sql", query, "--engine", "spark", "--master", cluster.master)
    assert result.exit_code == 2
    assert said(result).startswith("reflect() and java_method() are refused")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("select nothing from coverage", "nothing"),
        ("selec 1", "selec"),
        ("select 1; select 2", "extra input"),
        ("select 1 / (count(*) - count(*)) as x from coverage", "DIVIDE_BY_ZERO"),
        ("select * from parquet.`tests`", "parquet"),
        ("select * from nowhere", "nowhere"),
    ],
)
def test_what_is_wrong_with_a_query_is_said_in_a_line(
    query: str, why: str, pair: Pair, cluster: Cluster
) -> None:
    result = typed(pair.by_spark, "sql", query, "--engine", "spark", "--master", cluster.master)
    assert result.exit_code == 2
    assert said(result).startswith("the query fails: ")
    assert why in said(result)
    assert said(result).endswith("; mend it, `demeter schema` has the columns")


def test_a_replay_is_that_of_one_machine(cluster: Cluster, tmp_path: Path) -> None:
    """Rows are lost, a value differs, a sweep has lost its pages, and the rest comes out of the raw pages."""
    plain = of_documents(tmp_path / "plain" / "lake")
    for name in ("attributes", "users"):
        plain.delta(name).delete()
    plain.delta("instances").update({"name": "'another'"}, predicate="status = 'RUNNING'")
    last = sorted((plain.path / "raw").glob("*/*"))[-1]
    (last / "slice-00000.jsonl.zst").unlink()
    clustered = Lake(shutil.copytree(plain.path, tmp_path / "clustered" / "lake"))
    on_spark = Settings(lake=str(clustered.path), engine="spark", master=cluster.master)
    ours, theirs = replay(Settings(lake=str(plain.path)), plain), replay(on_spark, clustered)
    assert theirs == ours
    assert ours[0].rows
    assert ours[0].left == [last.name]
    assert in_order(clustered) == in_order(plain)
    assert not list(clustered.path.glob("tmp/*/flattened/*"))


def in_order(lake: Lake) -> dict[str, list[str]]:
    """All rows of all tables but what is of the run, sorted."""
    return {name: sorted(map(repr, rows)) for name, rows in tables_of(lake).items()}


def test_a_master_that_does_not_answer_is_said_in_a_line(pair: Pair) -> None:
    master = f"spark://127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spark, "_running", lambda: None)
        result = typed(pair.by_spark, "sql", "select 1", "--engine", "spark", "--master", master)
    assert result.exit_code == 6
    assert said(result) == (
        f"no Spark master answers at {master}: Connection refused; start it, or give another --master"
    )


@pytest.mark.parametrize("master", ["", "http://spark.example.com", "local[", "spark://"])
def test_a_master_that_is_none_is_said_in_a_line(master: str, pair: Pair) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spark, "_running", lambda: None)
        result = typed(pair.by_spark, "build", "--engine", "spark", "--master", master)
    assert result.exit_code == 2
    assert said(result).startswith(f"master {master!r} is none: give one like local[*]")


def test_without_java_it_is_said_what_to_install(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    result = typed(pair.by_spark, "build", "--engine", "spark")
    assert result.exit_code == 2
    assert said(result) == (
        "the engine spark runs on Java 17 or newer and none was found: install one, as in "
        "`apt-get install openjdk-17-jre-headless`, or set JAVA_HOME to where it is"
    )


def test_a_lake_that_spark_would_take_for_a_pattern_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "{a,b}")
    lake.create()
    result = typed(lake, "sql", "select 1", "--engine", "spark", "--master", cluster.master)
    assert result.exit_code == 2
    assert "which Spark takes for a pattern" in said(result)
