"""The engine that works something out: which one is chosen, what it needs, and the SQL that both run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from etl import sqlfiles
from etl.cli import main
from etl.lake import Lake
from etl.sparkquery import named

# What only DuckDB understands, or understands otherwise than Spark; and the way in which both do.
PORTABLE = {
    r"::": "cast(x as type)",
    r"\w ?// ?\w": "floor(x / y)",
    r"\b(?:epoch\w*|date_diff|date_sub|datediff|dayofweek|isodow|strftime|strptime)\(": "microseconds",
    r"\b(?:list\w*|array_agg|unnest|generate_series|string_agg)\(": "rows",
    r"\b(?:starts_with|ends_with|contains)\(": "like",
    r"\b(?:arg_max|arg_min)\(": "max_by",
    r"\bquantile_\w+\(": "percentile_cont(x) within group (order by y)",
    r"\b(?:exclude|replace) \(": "the columns by name",
    r"\b(?:asof|lateral|pivot|unpivot|using)\b": "a join on equal columns",
}
FILES = [(kind, name) for kind in ("marts", "reports", "shared", "checks") for name in sqlfiles.names(kind)]


def typed(lake: Lake, *words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["--lake", str(lake.path), *words], env=environment)


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_file_keeps_to_the_sql_that_both_engines_know(kind: str, name: str) -> None:
    text = re.sub(r"--.*|'[^']*'", "", sqlfiles.text(kind, name))
    assert {found[0]: better for each, better in PORTABLE.items() if (found := re.search(each, text))} == {}


@pytest.mark.parametrize(
    "words",
    [("build",), ("report", "summary"), ("sql", "select 1"), ("replay",), ("report", "--format", "html")],
)
def test_a_command_says_what_to_install_for_spark(words: tuple[str, ...], built_lake: Lake) -> None:
    for result in (
        typed(built_lake, *words, "--engine", "spark"),
        typed(built_lake, *words, DEMETER_ENGINE="spark"),
    ):
        assert result.exit_code == 2
        assert result.stderr == (
            "demeter: the engine spark is pyspark, which is not installed: run pip install "
            "'demeter-etl[spark]'\n"
        )


def test_a_master_without_spark_is_refused(built_lake: Lake) -> None:
    result = typed(built_lake, "sql", "select 1", "--master", "local[2]")
    assert result.exit_code == 2
    assert result.stderr == "demeter: --master is where Spark works: give --engine spark as well\n"


def test_an_engine_that_is_none_is_refused(built_lake: Lake) -> None:
    result = typed(built_lake, "sql", "select 1", DEMETER_ENGINE="spork")
    assert result.exit_code == 2
    assert "sets engine to 'spork', which is not one of duckdb, spark" in result.stderr


def test_the_prompt_is_of_duckdb_alone(built_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.cli._query", lambda query, file: None)
    result = typed(built_lake, "sql", "--engine", "spark")
    assert result.exit_code == 2
    assert result.stderr == (
        "demeter: the prompt is DuckDB's: give a query for Spark, or leave --engine out\n"
    )


def test_a_parameter_is_named_as_spark_names_it() -> None:
    assert named("where day >= $from and day < $month_to") == "where day >= :from and day < :month_to"


def test_what_spilled_is_gone_after_a_replay(tmp_path: Path) -> None:
    import lakes

    lake = lakes.of_documents(tmp_path / "lake")
    (lake.spill("any") / "left").mkdir(parents=True)
    assert typed(lake, "replay").exit_code == 0
    assert [path.name for path in lake.path.glob("tmp/*")] == ["any"]
