"""Every field of the reference has its column, and no column claims a field that is not there."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import Row, swept, tables_of

from etl.dictionary import TABLES, kept, maps
from etl.emulator import Emulator
from etl.lake import Lake

# What tells an object that instances share from the others of its kind.
KEYS = (
    "profile.id",
    "flavor_details.name",
    "queuing_info.flavor_details.name",
    "pool.id",
    "workspace.id",
    "ai_project.id",
    "user.id",
    "repository.id",
)
NOT_IN_THE_REFERENCE = {"sample", "older reference", "Table 9 params"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Leaf:
    """A field of the reference, with a number of its own."""

    number: int
    table: int
    path: str
    type: str

    @property
    def instance_id(self) -> str:
        return f"DE-{self.number}"

    @property
    def key(self) -> str:
        """What the shared object that the field is in is called."""
        return f"key-{self.number}"

    @property
    def key_path(self) -> str:
        """The field that tells this object from others; empty where it is the instance's own."""
        return next((path for path in KEYS if self.path.startswith(path.rpartition(".")[0] + ".")), "")

    @property
    def sent(self) -> Any:
        """A value that no other field has."""
        if self.path in ("id", self.key_path):
            return self.key if self.key_path else self.instance_id
        if self.path.endswith("timestamp"):
            milliseconds = 1_700_000_000_000 + 1001 * self.number
            return str(milliseconds) if self.type == "String" else milliseconds
        values = {"String": f"text {self.number}", "Integer": 10_000 + self.number, "Boolean": True}
        if self.type.startswith("Array"):
            return [f"item {self.number}"]
        return values.get(self.type) or {f"name {self.number}": f"value {self.number}"}

    @property
    def stored(self) -> Any:
        """The value as its column should have it."""
        if ".credential." in self.path:
            return "[redacted]"
        if self.path.endswith("timestamp"):
            return EPOCH + timedelta(milliseconds=int(self.sent))
        return self.sent[0] if self.type.startswith("Array") else self.sent

    @property
    def field(self) -> str:
        """The field as the dictionary has it, which names an object once for all its places."""
        return self.path.removeprefix("queuing_info.") if self.table == 9 else self.path

    @property
    def document(self) -> Row:
        """A document with this field and nothing else that could be without it."""
        document: Row = {"id": self.instance_id}
        if self.key_path:
            plant(document, self.key_path, self.key)
        plant(document, self.path, self.sent)
        return document


def plant(document: Row, path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = value


def reference() -> list[Leaf]:
    with Path(__file__).with_name("reference_leaves.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [Leaf(n, int(row["table"]), row["path"], row["type"]) for n, row in enumerate(rows, start=1)]


LEAVES = [leaf for leaf in reference() if leaf.table > 3]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """What one sweep makes of one document for each field."""
    lake = Lake(tmp_path_factory.mktemp("leaves") / "lake")
    with Emulator.of_documents([leaf.document for leaf in LEAVES]) as service:
        assert swept(service, lake).verdict == "complete"
    return tables_of(lake)


def cells_of(leaf: Leaf, tables: dict[str, list[Row]]) -> set[tuple[str, str, Any]]:
    """All that the tables say of the document of a field, but for keys and what is worked out."""
    ours = {leaf.instance_id, leaf.key}
    anchors = {each for each in ours if each != leaf.sent}
    return {
        (table.name, column.name, row[column.name])
        for table in kept()
        for row in tables[table.name]
        if ours & {row[key] for key in (*table.keys, "instance_id") if key in row}
        for column in table.columns
        if column.field and row[column.name] not in (None, *anchors)
    }


def maps_of(leaf: Leaf, tables: dict[str, list[Row]]) -> set[tuple[str, ...]]:
    ours = {leaf.instance_id, leaf.key}
    names = ("owner_kind", "map", "key", "value")
    return {tuple(row[name] for name in names) for row in tables["attributes"] if row["owner_id"] in ours}


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: f"{leaf.table}-{leaf.path}")
def test_a_field_of_the_reference_is_where_the_dictionary_says(
    leaf: Leaf, tables: dict[str, list[Row]]
) -> None:
    map_columns = {
        (m.owner_kind, m.name, *pair) for m in maps() if m.field == leaf.field for pair in pairs(leaf)
    }
    columns = {
        (table.name, column.name, leaf.stored)
        for table in TABLES
        for column in table.columns
        if column.field == leaf.field and not (leaf.path == "id" and table.name != "instances")
    }
    if leaf.path == "spec.storage.location.volume_size":
        columns.add(("storage", "size_unit", "GB"))
    assert columns or map_columns
    assert (cells_of(leaf, tables), maps_of(leaf, tables)) == (columns, map_columns)


def pairs(leaf: Leaf) -> list[tuple[str, str]]:
    return list(leaf.sent.items()) if isinstance(leaf.sent, dict) else []


def test_no_documented_field_is_taken_for_unknown_or_unusable(tables: dict[str, list[Row]]) -> None:
    assert (tables["extras"], tables["quarantine"]) == ([], [])


def test_the_total_of_the_listing_is_in_slices(tables: dict[str, list[Row]]) -> None:
    columns = [c.name for t in TABLES for c in t.columns if c.field == "total_count"]
    assert columns == ["total_count_first", "total_count_last"]
    assert [[row[name] for name in columns] for row in tables["slices"]] == [[len(LEAVES)] * 2]


def test_the_dictionary_names_no_field_that_the_reference_lacks() -> None:
    documented = {(f"Table {leaf.table}", leaf.field) for leaf in reference()}
    claimed = {(each.reference, each.field) for table in TABLES for each in table.columns if each.field} | {
        (each.reference, each.field) for each in maps()
    }
    unfounded = {(table, field) for table, field in claimed - documented if table not in NOT_IN_THE_REFERENCE}
    assert unfounded == set()
    paths = {leaf.field for leaf in reference()}
    beyond = {field for table, field in claimed if table in NOT_IN_THE_REFERENCE}
    assert not beyond & paths, "marked as missing in the reference, but it is there"
    assert documented <= claimed


def test_what_is_not_marked_as_derived_has_a_field() -> None:
    for table in kept():
        for column in table.columns:
            assert bool(column.field) == (column.reference != "derived"), f"{table.name}.{column.name}"
