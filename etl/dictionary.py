"""The data dictionary: every table, its columns, and the field of the API each column comes from.

The columns are data, in dictionary.csv; flattening, `demeter schema` and the documentation read them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Column:
    """One column of a tidy table."""

    name: str
    type: str
    role: str
    field: str
    reference: str
    meaning: str

    @property
    def sql_type(self) -> str:
        """The column's type in DuckDB."""
        return SQL_TYPES[self.type]


@dataclass(frozen=True)
class Map:
    """A map of the reference, which becomes rows of `attributes`."""

    owner_kind: str
    name: str
    field: str
    reference: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """One tidy table: what a row is, and what it hangs on.

    `owner` is "instance" for what belongs to one instance, "shared" for what several instances
    refer to, and "log" for what a sweep says of itself. `bases` are the paths of the object that
    a row is made from; the fields of its columns are written for the first of them.
    """

    name: str
    grain: str
    owner: str
    history: str = ""
    bases: tuple[str, ...] = ("",)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its own columns, without those that every table has."""
        return _columns()[self.name]

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell its rows apart within a project."""
        return tuple(column.name for column in self.columns if column.role == "key")

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns in which a difference makes a new row."""
        return tuple(column.name for column in self.columns if column.role == "value")


SQL_TYPES = {
    "text": "varchar",
    "integer": "bigint",
    "bytes": "bigint",
    "boolean": "boolean",
    "timestamp": "timestamptz",
    "timestamp_ms": "timestamptz",
    "list": "varchar",
    "date": "date",
}

UNITS = {"_seconds": "seconds", "_bytes": "bytes", "_hours": "hours", "_at": "UTC"}

FLAVOR_BASES = ("flavor_details", "queuing_info.flavor_details")

TABLES = (
    Table("sweeps", "one sweep; its row is what commits it", "log"),
    Table("slices", "one slice of a sweep", "log"),
    Table("instances", "one notebook instance", "instance", "instance_history"),
    Table("profiles", "one profile", "shared", "profile_history"),
    Table("provisions", "the deployment of one profile", "shared", "provision_history"),
    Table("flavors", "one flavor", "shared", "flavor_history", FLAVOR_BASES),
    Table("billing", "the billing terms of one flavor", "shared", "billing_history", FLAVOR_BASES),
    Table(
        "flavor_availability",
        "how free one flavor is",
        "shared",
        "flavor_availability_history",
        FLAVOR_BASES,
    ),
    Table("queue", "one instance in a queue", "instance", "queue_history"),
    Table("pools", "one resource pool", "shared", "pool_history"),
    Table("workspaces", "one workspace", "shared", "workspace_history"),
    Table("ai_projects", "one AI project", "shared", "ai_project_history"),
    Table("users", "one user", "shared", "user_history"),
    Table(
        "repositories",
        "one Git repository, without its credentials",
        "shared",
        "repository_history",
    ),
    Table(
        "storage",
        "one volume of an instance",
        "instance",
        "storage_history",
        ("spec.storage", "spec.extend_storage[]"),
    ),
    Table("failures", "the failure of one instance", "instance", "failure_history"),
    Table("attributes", "one key of one map of one owner", "shared", "attribute_history"),
    Table(
        "extras",
        "one field that the reference does not have, of one instance",
        "instance",
        "extra_history",
    ),
    Table(
        "quarantine",
        "one value or document that could not be used",
        "instance",
        "quarantine_history",
    ),
)

# Every table ends with these.
COMMON = (
    Column("project_id", "text", "common", "", "Table 1", "project that was listed"),
    Column("sweep_id", "text", "common", "", "derived", "sweep that wrote the row"),
    Column(
        "observed_at",
        "timestamp",
        "common",
        "",
        "derived",
        "when it was seen, by the service's clock",
    ),
)
CHANGE = Column(
    "change",
    "text",
    "common",
    "",
    "derived",
    "new, changed, keyframe (the same again, as on each day), unread (may be in a document without a usable "
    "id, so not seen and not gone; the last values stand), gone, or unlisted (only the API that was listed "
    "before had it, and the one now proves nothing about it)",
)
OBSERVED_DATE = Column(
    "observed_date", "date", "common", "", "derived", "UTC date of observed_at; the partition"
)


def table(name: str) -> Table:
    """The table of that name; KeyError where there is none."""
    return {each.name: each for each in TABLES}[name]


def all_columns(table: Table) -> tuple[Column, ...]:
    """Its own columns and those that every table has, in the order of the lake."""
    if table.owner == "log":
        return (*table.columns, *COMMON)
    return (*table.columns, *COMMON, CHANGE, OBSERVED_DATE)


def kept() -> tuple[Table, ...]:
    """The tables whose rows have a key and are written when they change."""
    return tuple(each for each in TABLES if each.owner != "log")


def unit(column: Column) -> str:
    """The unit that the column's name ends in; empty where it has none."""
    return next((UNITS[suffix] for suffix in UNITS if column.name.endswith(suffix)), "")


@cache
def maps() -> tuple[Map, ...]:
    """The maps of the reference."""
    return tuple(
        Map(
            owner_kind=row["role"].partition("/")[0],
            name=row["role"].partition("/")[2],
            field=row["field"],
            reference=row["reference"],
            meaning=row["meaning"],
        )
        for row in _rows()
        if row["type"] == "map"
    )


@cache
def _columns() -> dict[str, tuple[Column, ...]]:
    columns: dict[str, list[Column]] = {}
    for row in _rows():
        if row["type"] != "map":
            name = row.pop("table")
            row["name"] = row.pop("column")
            columns.setdefault(name, []).append(Column(**row))
    return {name: tuple(found) for name, found in columns.items()}


def _rows() -> list[dict[str, str]]:
    path = Path(__file__).with_name("dictionary.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
