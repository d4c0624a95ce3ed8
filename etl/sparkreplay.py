"""Raw pages flattened on Spark: a sweep a task, its rows written down for the comparison that follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from etl import spark
from etl.flatten import Staging, staged
from etl.lake import Lake
from etl.places import Place
from etl.reflatten import StagePages, stage_pages
from etl.settings import Settings
from etl.sparkviews import address

ROWS_AT_ONCE = 20_000
FOLDER = "flattened"
# A sweep to flatten.
JOBS = pa.schema(
    [
        *((name, pa.string()) for name in ("sweep_id", "lake", "pages", "scope")),
        ("memory_bytes", pa.int64()),
    ]
)
# Rows of one staging relation of a sweep, as an Arrow stream. What closes a sweep has no relation: it counts
# the pages, or says what is wrong with them.
FLATTENED = pa.schema(
    [
        ("sweep_id", pa.string()),
        ("relation", pa.string()),
        ("rows", pa.binary()),
        ("page_count", pa.int64()),
        ("fault", pa.string()),
    ]
)


def flatten(settings: Settings, lake: Lake, spill: Path, sweeps: Sequence[tuple[Place, str]]) -> StagePages:
    """Flatten the sweeps on all workers, into files below `spill`; what stages each from there."""
    folder = spill / FOLDER
    columns = {
        "sweep_id": [pages.name for pages, _ in sweeps],
        "lake": [str(lake)] * len(sweeps),
        "pages": [pages.path for pages, _ in sweeps],
        "scope": [scope for _, scope in sweeps],
        "memory_bytes": [settings.memory_bytes] * len(sweeps),
    }
    with spark.told():
        session = spark.session(settings.master)
        jobs = session.createDataFrame(pa.table(columns, schema=JOBS)).repartition(len(sweeps), "sweep_id")
        rows = jobs.mapInArrow(flattened, _ddl(FLATTENED))
        rows.write.partitionBy("sweep_id").parquet(address(folder))

    def staged_from_files(staging: Staging, pages: Place, scope: str) -> int:
        return _stage(staging, folder / f"sweep_id={pages.name}")

    return staged_from_files


def flattened(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of sweeps, from their raw pages; on a worker, which reads them where they lie."""
    for batch in batches:
        for job in batch.to_pylist():
            with TemporaryDirectory() as spill:
                staging = Staging(job["memory_bytes"], spill)
                staging.connection.execute("set threads = 1")  # A task has one processor.
                try:
                    yield from _of_sweep(staging, job)
                finally:
                    staging.connection.close()


def _of_sweep(staging: Staging, job: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    sweep_id = job["sweep_id"]
    try:
        counted = stage_pages(staging, Lake(job["lake"]).place(job["pages"]), job["scope"])
    except (ValueError, KeyError, duckdb.Error) as error:
        yield _row(sweep_id, fault=str(error))
        return
    for name in staged():
        rows = staging.connection.sql(f"from {name}").to_arrow_table()
        for start in range(0, rows.num_rows, ROWS_AT_ONCE):
            yield _row(sweep_id, relation=name, rows=_packed(rows.slice(start, ROWS_AT_ONCE)))
    yield _row(sweep_id, page_count=counted)


def _row(sweep_id: str, **values: str | bytes | int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"sweep_id": sweep_id, **values}], schema=FLATTENED)


def _packed(rows: pa.Table) -> bytes:
    """Rows as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _stage(staging: Staging, folder: Path) -> int:
    """Stage what a worker made of a sweep, and count its pages; ValueError where they are damaged."""
    counted = 0
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1):
            [row] = batch.to_pylist()
            if row["fault"] is not None:
                raise ValueError(row["fault"])
            if row["relation"]:
                staging.put(row["relation"], pa.ipc.open_stream(row["rows"]).read_all())
            counted += row["page_count"] or 0
    return counted


def _ddl(schema: pa.Schema) -> str:
    """The columns of a schema as Spark reads them."""
    types = {pa.string(): "string", pa.int64(): "bigint", pa.binary(): "binary"}
    return ", ".join(f"{each.name} {types[each.type]}" for each in schema)
