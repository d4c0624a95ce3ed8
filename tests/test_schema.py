"""The data dictionary on the command line is the one that the tables are made from."""

from __future__ import annotations

import pytest

from etl import dictionary, schema, views
from etl.errors import UsageError
from etl.lake import Lake
from etl.marts import SEEN

TABLES = [table.name for table in dictionary.TABLES]
HISTORIES = [table.history for table in dictionary.kept()]


def described(lake: Lake, name: str) -> list[tuple[str, str]]:
    """The columns of a view and their types, as DuckDB tells them."""
    with views.connect(lake) as connection:
        found = connection.execute(
            "select column_name, data_type from duckdb_columns() where table_name = $1 order by column_index",
            [name],
        ).fetchall()
    return [(column, kind.lower()) for column, kind in found]


def test_every_table_is_listed_with_its_grain_and_its_history() -> None:
    assert [row["table"] for row in schema.tables()] == [*TABLES, *SEEN]
    assert [row["history"] for row in schema.tables() if row["history"]] == HISTORIES
    assert all(row["a row is"] for row in schema.tables())


@pytest.mark.parametrize("name", SEEN)
def test_the_columns_of_a_mart_are_those_that_a_build_makes(name: str, built_lake: Lake) -> None:
    told = [(row["column"], row["type"]) for row in schema.columns(name)]
    shown = {"timestamp with time zone": "timestamptz"}
    found = [(column, shown.get(kind, kind)) for column, kind in described(built_lake, name)]
    assert sorted(told) == sorted(found)
    assert all(row["meaning"] for row in schema.columns(name))


@pytest.mark.parametrize("name", [*TABLES, *HISTORIES])
def test_the_columns_are_those_that_a_query_finds(name: str, small_lake: Lake) -> None:
    told = [(row["column"], row["type"]) for row in schema.columns(name)]
    if name.startswith("attribute"):
        told = [each for number, each in enumerate(told) if each not in told[:number]]
    found = [
        (n, k.replace("timestamp with time zone", "timestamptz")) for n, k in described(small_lake, name)
    ]
    assert sorted(told) == sorted(found)


@pytest.mark.parametrize("name", [*TABLES, *HISTORIES])
def test_every_column_says_what_it_means_and_where_it_comes_from(name: str) -> None:
    silent = [row["column"] for row in schema.columns(name) if not (row["meaning"] and row["reference"])]
    assert silent == []


def test_a_column_tells_its_unit_and_its_field() -> None:
    rows = {row["column"]: row for row in schema.columns("instances")}
    assert rows["auto_stop_seconds"] == {
        "column": "auto_stop_seconds",
        "type": "bigint",
        "unit": "seconds",
        "meaning": "running time after which it is stopped",
        "field": "spec.auto_stop.duration",
        "notebooks field": "lease.duration",
        "reference": "Table 16",
    }
    assert rows["created_at"]["unit"] == "UTC"


def test_every_map_of_the_reference_is_told_by_the_rows_that_it_becomes() -> None:
    told = {row["field"]: row["meaning"] for row in schema.columns("attributes") if row["field"]}
    assert set(told) == {each.field for each in dictionary.maps()}
    assert told["profile.labels"].endswith("owner_kind = 'profile' and map = 'labels'")


def test_a_history_view_also_tells_from_when_to_when() -> None:
    names = [row["column"] for row in schema.columns("queue_history")]
    assert names == [*(row["column"] for row in schema.columns("queue")), "valid_from", "valid_to"]
    assert "every version" in schema.heading("queue_history")
    assert "queue_history" in schema.heading("queue")


def test_the_error_for_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no table 'instnces': did you mean 'instances'"):
        schema.columns("instnces")
    with pytest.raises(UsageError, match="no table 'xyzzy': `demeter schema` lists them"):
        schema.columns("xyzzy")
