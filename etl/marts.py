"""Marts: tables worked out from the tidy ones, published together by one small file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import deltalake
import pyarrow as pa

from etl.columns import quoted
from etl.errors import UsageError
from etl.lake import WRITER, Lake, checkpoint, crowded, merge, replace_text

# In the order in which each can be worked out from those before it; the stored ones are published.
STEPS = (
    "sweep_steps",
    "sightings",
    "transitions",
    "evidence_record",
    "evidence_support",
    "stretches",
    "terms",
    "usage_hourly",
    "usage_daily",
    "prices_daily",
    "pools_daily",
    "storage_lives",
    "storage_sizes",
    "storage_daily",
    "cost_daily",
    "pool_cost_daily",
    "states",
    "sessions",
    "queue_waits",
    "coverage",
)
STORED = (
    "stretches",
    "usage_hourly",
    "usage_daily",
    "cost_daily",
    "pool_cost_daily",
    "states",
    "sessions",
    "queue_waits",
    "coverage",
)
CURRENT = "current.json"


class NothingMetered(UsageError):
    """No two complete sweeps are there yet, so there is no day to report on."""


@dataclass(frozen=True)
class Published:
    """The marts that readers see: the version of each table, and what they were worked out from."""

    fingerprint: str
    tz: str
    versions: Mapping[str, int]


def published(lake: Lake) -> Published | None:
    """What is published now; None before the first build."""
    path = _directory(lake) / CURRENT
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    return Published(values["fingerprint"], values["tz"], values["versions"])


def relation(lake: Lake, name: str, version: int) -> str:
    """SQL that reads a mart as it was published."""
    delta = deltalake.DeltaTable(_location(lake, name), version=version)
    files = sorted(unquote(uri) for uri in delta.file_uris())
    if not files:
        fields = delta.schema().fields
        empty = ", ".join(f"null::{_sql_type(str(field.type.type))} as {field.name}" for field in fields)
        return f"(select {empty} where false)"
    return f"read_parquet([{', '.join(map(quoted, files))}])"


def locations(lake: Lake) -> dict[str, Path]:
    """The directories of all marts that were ever written, by name."""
    logs = _directory(lake).glob("*/_delta_log")
    return {log.parent.name: log.parent for log in sorted(logs)}


def crowded_files(lake: Lake) -> list[str]:
    """The files of the marts, as they are published, that should be fewer."""
    built = published(lake)
    found = [_to_merge(lake, name, version) for name, version in built.versions.items()] if built else []
    return list(chain.from_iterable(found))


def keep(lake: Lake) -> None:
    """Make the files of the published marts fewer, publish the versions that this makes, and checkpoint."""
    built = published(lake)
    versions = dict(built.versions) if built else {}
    for name, version in versions.items():
        delta = deltalake.DeltaTable(_location(lake, name))
        if _to_merge(lake, name, version):
            merge(delta)
            versions[name] = delta.version()
        checkpoint(delta, Path(_location(lake, name)))
    if built and versions != built.versions:
        publish(lake, replace(built, versions=versions))


def _to_merge(lake: Lake, name: str, version: int) -> list[str]:
    """The files that should be fewer; none of a mart that a build has written anew, and not published."""
    delta = deltalake.DeltaTable(_location(lake, name))
    return list(chain.from_iterable(crowded(delta).values())) if delta.version() == version else []


def write(lake: Lake, name: str, rows: pa.Table) -> int:
    """Replace a mart's rows and return the version that this makes; nobody sees it yet."""
    location = _location(lake, name)
    deltalake.write_deltalake(
        location, rows, mode="overwrite", schema_mode="overwrite", writer_properties=WRITER
    )
    return deltalake.DeltaTable(location).version()


def publish(lake: Lake, published: Published) -> None:
    """Let readers see these versions of all marts at once."""
    values = {
        "fingerprint": published.fingerprint,
        "tz": published.tz,
        "versions": dict(published.versions),
    }
    replace_text(_directory(lake) / CURRENT, json.dumps(values, indent=1) + "\n")


def _sql_type(type: str) -> str:
    """The DuckDB type of a primitive Delta type."""
    return {"string": "varchar", "long": "bigint", "timestamp": "timestamptz"}.get(type, type)


def _directory(lake: Lake) -> Path:
    return lake.path / "marts"


def _location(lake: Lake, name: str) -> str:
    return str(_directory(lake) / name)
