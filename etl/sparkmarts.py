"""Marts that Spark has worked out, as Delta: its workers write the files, one commit makes them a table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, create_table_with_add_actions

from etl import marts
from etl.compaction import HOOKS, day_of
from etl.lake import Lake
from etl.sparkviews import address

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# A folder of a mart is named after the build that wrote it: what a killed one left is in no version.
_MARK_SUCCESS = "mapreduce.fileoutputcommitter.marksuccessfuljobs"


def put(lake: Lake, name: str, rows: DataFrame, build_id: str) -> tuple[int, int]:
    """Replace a mart's rows; how many they are, and the version that this makes: nobody sees it yet."""
    location = Path(marts.make_way(lake, name).uri)
    folder = location / build_id
    shutil.rmtree(folder, ignore_errors=True)
    _write(name, rows, folder)
    files = list(_files(location, folder))
    return sum(count for _, count in files), _commit(location, name, rows, [action for action, _ in files])


def _write(name: str, rows: DataFrame, folder: Path) -> None:
    """Let the workers write the rows in the order of the mart, by day where it is kept by day."""
    if days := marts.partitions(name):
        order = marts.ORDER[name].split(", ")
        writer = rows.repartitionByRange(*order).sortWithinPartitions(*order).write.partitionBy(*days)
    else:
        writer = rows.coalesce(1).sortWithinPartitions(*rows.columns).write
    writer.option(_MARK_SUCCESS, "false").parquet(address(folder))


def _files(location: Path, folder: Path) -> Iterator[tuple[AddAction, int]]:
    """Each file of a folder as a commit adds it, and its number of rows."""
    for path in sorted(folder.rglob("*.parquet")):
        # The sums that Hadoop keeps of a file on a disk are of no use to anybody else.
        (path.parent / f".{path.name}.crc").unlink(missing_ok=True)
        count = pq.read_metadata(path).num_rows
        known = path.stat()
        yield (
            AddAction(
                path=quote(str(path.relative_to(location)), safe="/="),
                size=known.st_size,
                partition_values={marts.DAY: day} if (day := day_of(str(path))) else {},
                modification_time=int(known.st_mtime * 1000),
                data_change=True,
                stats=json.dumps({"numRecords": count}),
            ),
            count,
        )


def _commit(location: Path, name: str, rows: DataFrame, actions: list[AddAction]) -> int:
    """Make these files all that a mart consists of, and give the version that this makes."""
    schema, days = _schema(rows), marts.partitions(name)
    if deltalake.DeltaTable.is_deltatable(str(location)):
        deltalake.DeltaTable(str(location)).create_write_transaction(
            [*actions],
            mode="overwrite",
            schema=schema,
            partition_by=days,
            post_commithook_properties=HOOKS,
        )
    else:
        create_table_with_add_actions(
            str(location), schema=schema, add_actions=actions, mode="overwrite", partition_by=days
        )
    return deltalake.DeltaTable(str(location)).version()


def _schema(rows: DataFrame) -> deltalake.Schema:
    """The columns of rows as Delta has them."""
    from pyspark.sql.pandas.types import to_arrow_schema

    found: pa.Schema = to_arrow_schema(rows.schema)
    return deltalake.Schema.from_arrow(pa.schema([each.with_nullable(True) for each in found]))
