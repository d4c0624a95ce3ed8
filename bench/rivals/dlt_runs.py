"""Runs of dlt that can be broken off, each in a process of its own: `python -m bench.rivals.dlt_runs`.

A line of JSON is read for each run, answered first with the process that does it, and at its end with its
status; `{"read": true, ...}` asks for what a reader finds instead: the ids and statuses of all rows.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake
import dlt
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from dlt.extract import DltResource
from dlt.sources.helpers.requests import Client
from dlt.sources.rest_api import rest_api_source

Row = tuple[str, str]
DATASET, TABLE = "listed", "instances"


@dataclass(frozen=True)
class Way:
    """A way to keep a listing: where it is written to, and how what was there before is treated."""

    destination: str
    disposition: Any
    table_format: Any = None
    # Whether the client looks into what it gets, and goes on at an empty page.
    wary: bool = True


WAYS = {
    # As the first pages of its documentation have it.
    "plain": Way("filesystem", "append", wary=False),
    "append": Way("filesystem", "append"),
    "replace": Way("filesystem", "replace"),
    # Rows that are listed no longer are removed, those that are the same are left alone.
    "delta": Way("filesystem", {"disposition": "merge", "strategy": "cdc"}, "delta"),
    # Rows are taken once, by their id; those that are listed no longer stay.
    "duckdb": Way("duckdb", {"disposition": "merge", "strategy": "delete-insert"}),
}


def listing(way: Way, told: dict[str, Any]) -> DltResource:
    """The listing as dlt pages it."""
    paginator = {"type": "offset", "limit": told["limit"], "total_path": "total_count"}
    timeout = {"request_timeout": told["timeout_seconds"]} if told.get("timeout_seconds") else {}
    wary = {"retry_condition": is_no_page} if way.wary else {}
    source = rest_api_source(
        {
            "client": {
                "base_url": told["endpoint"],
                "headers": {"X-Auth-Token": told["token"]},
                "paginator": paginator | ({"stop_after_empty_page": False} if way.wary else {}),
                "session": Client(raise_for_status=False, **timeout, **wary).session,
            },
            "resources": [
                {
                    "name": TABLE,
                    "primary_key": "id",
                    "write_disposition": way.disposition,
                    "table_format": way.table_format,
                    "endpoint": {
                        "path": f"/v1/{told['project_id']}/demanager/instances",
                        "params": {"de_type": "Notebook", "show_self": "false"}
                        | {"sortby": "creation_timestamp", "order": "asc"},
                        "data_selector": "instances",
                    },
                }
            ],
        }
    )
    return source.resources[TABLE]


def is_no_page(answer: requests.Response | None, error: BaseException | None) -> bool:
    """Whether an answer of status 200 is anything but a page."""
    if error or answer is None or answer.status_code != 200:
        return False
    try:
        return "instances" not in answer.json()
    except ValueError:
        return True


def pipeline_of(way: Way, folder: Path) -> dlt.Pipeline:
    """The pipeline that writes into a folder, and has its own state there."""
    kinds = {
        "filesystem": lambda: dlt.destinations.filesystem(str(folder / "kept")),
        "duckdb": lambda: dlt.destinations.duckdb(str(folder / "kept" / "rows.duckdb")),
    }
    return dlt.pipeline(
        TABLE,
        destination=kinds[way.destination](),
        dataset_name=DATASET,
        pipelines_dir=str(folder / "pipelines"),
    )


def load(told: dict[str, Any]) -> None:
    """One run: what is left of one before is loaded first, as the documentation has it."""
    way = WAYS[told["way"]]
    Path(told["folder"], "kept").mkdir(exist_ok=True)
    pipeline = pipeline_of(way, Path(told["folder"]))
    if pipeline.has_pending_data:
        pipeline.run()
    pipeline.run(listing(way, told), loader_file_format="parquet")


def apart(told: dict[str, Any]) -> int:
    """Do what is asked in a process of its own, and give that: what it opens it shares with no other."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    if told.get("read"):
        print(json.dumps(readable(told)), flush=True)
        os._exit(0)
    output = os.open(f"{told['folder']}/output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    status = 1
    try:
        if told.get("file_bytes"):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (told["file_bytes"], told["file_bytes"]))
        load(told)
        status = 0
    except BaseException as error:
        print(" ".join(f"{type(error).__name__}: {error}".split()), flush=True)
    os._exit(status)


def readable(told: dict[str, Any]) -> list[Row] | None:
    """What a reader finds; None where that cannot be read."""
    try:
        return rows(told)
    except Exception as error:
        print(f"unreadable: {error}", file=sys.stderr)
        return None


def rows(told: dict[str, Any]) -> list[Row]:
    """What a reader finds: the rows of the table; of several loads those of the last that was finished."""
    folder, way = Path(told["folder"]), WAYS[told["way"]]
    place = folder / "kept" / DATASET / TABLE
    if way.destination == "duckdb":
        return of_duckdb(folder / "kept" / "rows.duckdb")
    if way.table_format == "delta":
        return pairs(deltalake.DeltaTable(str(place)).to_pyarrow_table()) if place.exists() else []
    files = sorted(place.glob("*.parquet"))
    if told["way"] == "append":
        done = [path.stem.partition("__")[2] for path in (place.parent / "_dlt_loads").glob("*.jsonl")]
        # The name of a file begins with its load.
        files = [path for path in files if path.name.startswith(f"{max(done, default='none')}.")]
    return [row for path in files for row in pairs(pq.read_table(path, partitioning=None))]


def of_duckdb(file: Path) -> list[Row]:
    if not file.exists():
        return []
    with duckdb.connect(str(file)) as connection:
        known = connection.execute(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?",
            [DATASET, TABLE],
        ).fetchall()
        return connection.execute(f"select id, status from {DATASET}.{TABLE}").fetchall() if known else []


def pairs(table: pa.Table) -> list[Row]:
    return list(zip(table["id"].to_pylist(), table["status"].to_pylist(), strict=True))


def main() -> None:
    """Do what is asked, a line each, until there are no more."""
    for line in sys.stdin:
        told = json.loads(line)
        process = apart(told)
        if not told.get("read"):
            print(json.dumps({"process": process}), flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if not told.get("read"):
            said = Path(told["folder"], "output").read_text(encoding="utf-8", errors="replace").strip()
            print(json.dumps({"status": status, "said": said.rpartition("\n")[2][-2000:]}), flush=True)


if __name__ == "__main__":
    main()
