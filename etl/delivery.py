"""One billing month of FOCUS rows as files: Parquet, CSV, and the metadata that goes with them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from etl import __version__
from etl.columns import quoted
from etl.directory import private, replace_text
from etl.errors import UsageError
from etl.places import Place

VERSIONS = ("1.2", "1.4")
GENERATOR = "demeter"
DATASET = "CostAndUsage"
JSON_COLUMNS = ("SkuPriceDetails", "Tags")
TAG_PREFIXES = ["modelarts:"]

# FOCUS 1.3 named the provider's parts anew, and 1.4 dropped the old names and added invoice details.
_SINCE_1_4 = {
    "HostProviderName": "provider_name",
    "ServiceProviderName": "provider_name",
    "InvoiceDetailId": "invoice_id",
}
_UNTIL_1_3 = ("ProviderName", "PublisherName")

_ORDER = """
    charge_period_start, billing_account_id, resource_id, x_charge, sku_id, x_volume,
    charge_class nulls first, sku_price_id, x_user_id, x_pool_id, sub_account_id, x_ai_project_id, x_flavor,
    x_promo_type, x_billing_flavor, x_billing_ratio, x_accelerator_count, x_core_count, x_memory_bytes,
    list_unit_price, x_is_waived, consumed_quantity
"""


@dataclass(frozen=True)
class Delivery:
    """What is written: a relation, in a version of FOCUS, for a month, and what else is to be said of it."""

    relation: str
    version: str
    month: str
    notes: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """The name of its files, without their endings."""
        return f"focus-{self.version}-{self.month}"


def write(
    connection: duckdb.DuckDBPyConnection, delivery: Delivery, directory: Path, schemas: Place
) -> list[Path]:
    """Write a month's Parquet, CSV and metadata, each whole or not at all; return their paths.

    `schemas` is the folder that remembers since when each schema is in use.
    """
    files = [directory / f"{delivery.stem}.{ending}" for ending in ("parquet", "csv", "metadata.json")]
    columns = projection(connection, delivery)
    schema = _known(schemas, _schema(connection, delivery, columns))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        copy(connection, _query(delivery, columns), files[0], "format parquet, compression zstd")
        copy(connection, _query(delivery, _as_text(columns)), files[1], "format csv, header")
        replace_text(files[2], json.dumps(_metadata(delivery, schema, files), indent=1) + "\n")
    except (OSError, duckdb.IOException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(f"cannot write to {directory}: {reason}; name another directory with -o") from error
    return files


def copy(connection: duckdb.DuckDBPyConnection, query: str, file: Path, options: str) -> None:
    """Write what a query gives to a file, which appears whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        connection.execute(f"copy ({query}) to {quoted(str(partial))} ({options})")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def pascal(name: str) -> str:
    """The FOCUS name of a column: BilledCost of billed_cost, and x_UserId of x_user_id."""
    prefix, rest = ("x_", name[2:]) if name.startswith("x_") else ("", name)
    return prefix + "".join(word.capitalize() for word in rest.split("_"))


def projection(connection: duckdb.DuckDBPyConnection, delivery: Delivery) -> dict[str, tuple[str, str]]:
    """For each FOCUS column of the version, FOCUS's own first: the column it comes from, and its SQL type."""
    types = {
        name: str(kind) for name, kind, *_ in connection.execute(f"describe {delivery.relation}").fetchall()
    }
    sources = {pascal(name): name for name in types}
    if delivery.version != "1.2":
        sources = {name: source for name, source in sources.items() if name not in _UNTIL_1_3} | _SINCE_1_4
    ordered = sorted(sources, key=lambda name: (name.startswith("x_"), name))
    return {name: (sources[name], types[sources[name]]) for name in ordered}


def _query(delivery: Delivery, columns: Mapping[str, tuple[str, str]]) -> str:
    listed = ", ".join(f'{source} as "{name}"' for name, (source, _) in columns.items())
    return f"select {listed} from {delivery.relation} order by {_ORDER}"


def _as_text(columns: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The same columns, with moments as FOCUS writes them: 2026-10-01T00:00:00Z."""
    return {
        name: (f"strftime({source}, '%Y-%m-%dT%H:%M:%SZ')" if "TIME ZONE" in kind else source, kind)
        for name, (source, kind) in columns.items()
    }


def _schema(
    connection: duckdb.DuckDBPyConnection, delivery: Delivery, columns: Mapping[str, tuple[str, str]]
) -> dict[str, Any]:
    """The FOCUS schema object of a delivery; its id changes with the version or with any column."""
    definitions = [_definition(name, kind) for name, (_, kind) in columns.items()]
    content = [delivery.version, __version__, definitions]
    return {
        "SchemaId": hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16],
        "FocusVersion": delivery.version,
        "CreationDate": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "DataGeneratorVersion": __version__,
        "ColumnDefinition": definitions,
    }


def _definition(name: str, kind: str) -> dict[str, Any]:
    """What the schema says of a column."""
    found = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if found or kind == "BIGINT":
        precision, scale = (int(found[1]), int(found[2])) if found else (19, 0)
        rest: dict[str, Any] = {"NumericPrecision": precision, "NumberScale": scale}
        return {"ColumnName": name, "DataType": "DECIMAL", **rest}
    if name in JSON_COLUMNS:
        rest = {"ProviderTagPrefixes": TAG_PREFIXES} if name == "Tags" else {}
        return {"ColumnName": name, "DataType": "JSON", **rest}
    if "TIME ZONE" in kind:
        return {"ColumnName": name, "DataType": "DATETIME"}
    if kind == "VARCHAR":
        return {"ColumnName": name, "DataType": "STRING", "StringEncoding": "UTF-8"}
    return {"ColumnName": name, "DataType": kind}


def _known(schemas: Place, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it was first made, for a new one is only made where the columns change."""
    file = schemas / f"{schema['SchemaId']}.json"
    if not file.exists():
        with private(), file.drafted() as path:
            path.write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
    kept: dict[str, Any] = file.json()
    return kept


def _named(notes: Any) -> Any:
    """The notes with their keys in the manner of FOCUS."""
    if isinstance(notes, list):
        return [_named(each) for each in notes]
    if isinstance(notes, Mapping):
        return {pascal(name): _named(value) for name, value in notes.items()}
    return notes


def _metadata(delivery: Delivery, schema: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    """The metadata of a delivery: objects in FOCUS 1.2, collections since 1.3."""
    notes = {"Files": [file.name for file in files[:2]], **_named(delivery.notes)}
    generator = {"DataGenerator": GENERATOR}
    if delivery.version == "1.2":
        return {"DataGenerator": generator, "Schema": schema, "x_Delivery": notes}
    instance = {
        "DatasetInstanceId": f"{GENERATOR}-cost-and-usage",
        "DatasetInstanceName": "ModelArts notebooks",
        "FocusDatasetId": DATASET,
    }
    schemas = [{**schema, "DatasetInstanceId": instance["DatasetInstanceId"]}]
    return {
        "DataGenerator": generator,
        "DatasetInstance": [instance],
        "Schema": schemas,
        "x_Delivery": notes,
    }
