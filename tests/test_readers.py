"""Whoever reads a lake, with whatever reads Parquet or Delta, reads the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from support import Row, as_text, swept

from etl import views
from etl.dictionary import TABLES, all_columns, kept
from etl.emulator import Clock, Emulator, Fleet, FleetSettings
from etl.emulator.rows import Documents
from etl.lake import Lake, schema

FULL = json.loads((Path(__file__).with_name("golden") / "full" / "page.json").read_bytes())
EVERYTHING = [json.dumps(each).encode() for each in FULL["instances"]]
COMMITTED = [table.history or table.name for table in TABLES]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake after three sweeps of a fleet that changes, over midnight, and one of another project."""
    lake = Lake(tmp_path_factory.mktemp("readers") / "lake")
    fleet = Fleet(FleetSettings(instances=40, seed=5, mean_idle_hours=4, delete_share=0.4))
    with Emulator(fleet, clock=Clock.at("2026-10-12T14:00:00Z")) as service:
        for _ in range(3):
            assert swept(service, lake).verdict == "complete"
            service.clock.advance(seconds=6 * 3600)
    with Emulator(fleets={"another-project": Documents(EVERYTHING)}) as service:
        assert swept(service, lake).verdict == "complete"
    return lake


@pytest.fixture(scope="module")
def own(lake: Lake) -> dict[str, pa.Table]:
    """All relations as demeter's own commands read them."""
    with views.connect(lake) as connection:
        names = [name for table in TABLES for name in {table.name, table.history or table.name}]
        return {name: connection.sql(f"from {name}").to_arrow_table() for name in names}


@pytest.fixture(scope="module")
def file(lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """demeter.duckdb as any DuckDB client opens it."""
    with duckdb.connect(str(lake.path / "demeter.duckdb"), read_only=True) as connection:
        yield connection


def in_order(table: pa.Table) -> list[dict[str, str]]:
    names = sorted(set(table.column_names) - {"valid_from", "valid_to"})
    rows: list[Row] = table.select(names).to_pylist()
    return as_text(rows)


def test_the_lake_has_rows_in_every_table_and_of_every_change(own: dict[str, pa.Table]) -> None:
    assert {name for name in COMMITTED if not own[name].num_rows} == set()
    changes = set(own["instance_history"]["change"].to_pylist())
    assert changes == {"new", "changed", "keyframe", "gone"}


def test_any_duckdb_reads_in_demeter_duckdb_what_the_commands_read(
    own: dict[str, pa.Table], file: duckdb.DuckDBPyConnection
) -> None:
    for name, rows in own.items():
        assert in_order(file.sql(f"from {name}").to_arrow_table()) == in_order(rows), name


def test_demeter_duckdb_cannot_be_written_to(file: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="read-only"):
        file.execute("create table intruder as select 1")


def delta_of(lake: Lake, name: str) -> deltalake.DeltaTable:
    return deltalake.DeltaTable(str(lake.path / "tables" / name))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_deltalake_pandas_and_polars_read_the_same_rows(
    table: Any, lake: Lake, own: dict[str, pa.Table]
) -> None:
    delta, due = delta_of(lake, table.name), own[table.history or table.name]
    path, files = str(lake.path / "tables" / table.name), delta.file_uris()
    assert in_order(delta.to_pyarrow_table()) == in_order(due)
    assert in_order(pl.read_delta(path).to_arrow()) == in_order(due)
    if files:
        assert in_order(pl.read_parquet(files, hive_partitioning=False).to_arrow()) == in_order(
            without_partition(due) if table.owner != "log" else due
        )
        frame = pd.concat(
            [pd.read_parquet(file, dtype_backend="pyarrow", partitioning=None) for file in files]
        )
        assert len(frame) == due.num_rows
    assert len(delta.to_pandas()) == due.num_rows


def without_partition(table: pa.Table) -> pa.Table:
    """The rows as the files have them: the partition is in their names only."""
    return table.drop_columns(["observed_date"])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_has_the_columns_and_types_of_the_dictionary(table: Any, lake: Lake) -> None:
    stored = delta_of(lake, table.name).to_pyarrow_table().schema
    assert stored.names == [column.name for column in all_columns(table)]
    plain = pa.schema([pa.field(each.name, as_stored(each.type)) for each in stored])
    assert plain.equals(schema(table))


def as_stored(kind: pa.DataType) -> pa.DataType:
    """Arrow may read text as one of its other kinds of text."""
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def test_a_live_row_is_the_last_of_its_history(own: dict[str, pa.Table]) -> None:
    for table in kept():
        last: dict[tuple[Any, ...], Row] = {}
        rows = own[table.history].to_pylist()
        for row in sorted(rows, key=lambda row: (row["observed_at"], row["sweep_id"])):
            last[tuple(row[key] for key in ("project_id", *table.keys))] = row
        live = [row for row in last.values() if row["change"] != "gone"]
        names = [column.name for column in all_columns(table)]
        assert as_text({name: row[name] for name in names} for row in live) == as_text(
            {name: row[name] for name in names} for row in own[table.name].to_pylist()
        ), table.name


def test_history_has_no_gap_and_no_overlap(own: dict[str, pa.Table]) -> None:
    for table in kept():
        ends: dict[tuple[Any, ...], Any] = {}
        for row in sorted(own[table.history].to_pylist(), key=lambda row: row["observed_at"]):
            key = tuple(row[name] for name in ("project_id", *table.keys))
            assert key not in ends or ends[key] == row["valid_from"], (table.name, key)
            ends[key] = row["valid_to"]
        assert set(ends.values()) <= {None}, table.name


def test_a_lake_is_readable_where_it_was_copied_to(lake: Lake, tmp_path: Path) -> None:
    """By Delta and by demeter; only demeter.duckdb holds the old place until the next sweep."""
    shutil.copytree(lake.path, tmp_path / "copy")
    with views.connect(Lake(tmp_path / "copy")) as connection:
        (count,) = connection.execute("select count(*) from instance_history").fetchone() or (0,)
    assert count == delta_of(lake, "instances").to_pyarrow_table().num_rows
