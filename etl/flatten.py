"""Flatten pages into tidy relations: documents in, typed rows out, and nothing dropped.

Pages are added in batches, so that no more of them is held than a batch. Plain documents are read by
etl.plain and odd ones by etl.spread; where an answer cannot be read without loss, all of its are odd.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from etl import columns, plain, spread, sqlfiles
from etl.columns import quoted
from etl.dictionary import Table, kept
from etl.page import faithful
from etl.raw import RawPage

PLAIN_HELD = 5_000  # documents, before they go into the staging tables
ODD_BYTES = 4_000_000  # likewise
_ROOM = 1 << 32  # for the ids of the documents of a page

_PAGES = pa.schema(
    [
        ("first_id", pa.int64()),
        ("slice", pa.int64()),
        ("page", pa.int64()),
        ("observed_at", pa.timestamp("us", tz="UTC")),
        ("repaired", pa.string()),
        ("body", pa.large_string()),
    ]
)

_STAGING = """
create table documents (
    document_id bigint, slice bigint, page bigint, observed_at timestamptz, instance_id varchar,
    created_at timestamptz, updated_at timestamptz, parts bigint[]
);
create table seen_attributes (
    document_id bigint, part_id bigint, owner_kind varchar, owner_id varchar, map varchar, key varchar,
    value varchar
);
create table seen_extras (document_id bigint, instance_id varchar, path varchar, value varchar);
create table seen_quarantine (
    document_id bigint, instance_id varchar, field varchar, fingerprint varchar, reason varchar,
    document varchar, slice bigint, page bigint
);
create sequence part_ids;
"""


class Staging:
    """An in-memory database in which the pages of one sweep become tidy relations."""

    def __init__(self, memory: str = "1GB", spill: str | None = None) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("set preserve_insertion_order = false")
        self.connection.execute("set enable_progress_bar = false")  # It would go to standard output.
        self.connection.execute(f"set memory_limit = {quoted(memory)}")
        if spill:
            self.connection.execute(f"set temp_directory = {quoted(spill)}")
        self.connection.execute(columns.MACROS)
        self.connection.execute(_STAGING)
        for table in _from_fields():
            self.connection.execute(_seen_table(table))
        self._plain = plain.Reader()
        self._odd: list[tuple[Any, ...]] = []
        self._odd_bytes = 0
        self._next_id = 1

    def add(self, pages: Sequence[RawPage]) -> None:
        """Flatten pages; their rows are in the staging relations when `settle` was called."""
        for page in pages:
            self._add(page)
            if len(self._plain) >= PLAIN_HELD or self._odd_bytes >= ODD_BYTES:
                self.settle()

    def settle(self) -> None:
        """Put the rows of all pages that were added into the staging relations."""
        for name, table in self._plain.take():
            self.connection.register("rows", table)
            self.connection.execute(f"insert into {name} by name from rows")
            self.connection.unregister("rows")
        if self._odd:
            arrays = [
                pa.array(list(values), field.type)
                for values, field in zip(zip(*self._odd, strict=True), _PAGES, strict=True)
            ]
            self.connection.register("pages", pa.Table.from_arrays(arrays, schema=_PAGES))
            spread.spread(self.connection)
            self.connection.unregister("pages")
            self._odd, self._odd_bytes = [], 0

    def clear(self) -> None:
        """Forget the pages that were added."""
        self._plain.clear()
        for name in ("documents", "seen_attributes", "seen_extras", "seen_quarantine"):
            self.connection.execute(f"delete from {name}")
        for table in _from_fields():
            self.connection.execute(f"delete from seen_{table.name}")

    def _add(self, raw: RawPage) -> None:
        first, page = self._next_id, raw.page
        self._next_id += _ROOM
        documents = page.documents
        if documents is None and not page.repaired:
            found = faithful(page.body.encode(), self.connection)
            documents = found.get("instances") if type(found) is dict else None
        if type(documents) is not list:
            self._add_odd(first, raw, page.body)
            return
        for number, document in enumerate(documents, start=first):
            if not self._plain.add(document, (number, raw.slice, raw.number, page.observed_at)):
                self._add_odd(number, raw, f'{{"instances":[{orjson.dumps(document).decode()}]}}')

    def _add_odd(self, first: int, raw: RawPage, body: str) -> None:
        page = raw.page
        self._odd.append((first, raw.slice, raw.number, page.observed_at, page.repaired, body))
        self._odd_bytes += len(body)


def relations(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tidy relations `tidy_<table>` of all that was added, from sql/tidy."""
    for table in kept():
        connection.execute(
            f"create or replace temp view tidy_{table.name} as {sqlfiles.text('tidy', table.name)}"
        )


def from_parts() -> list[Table]:
    """The tables with rows from parts: these have a `part_id`, and not yet the id of a document."""
    names = {leaf.table.name for part in columns.PARTS for leaf in columns.own_leaves(part)}
    return [table for table in kept() if table.owner == "shared" and table.name in (*names, "attributes")]


def _from_fields() -> list[Table]:
    """The tables whose rows come from fields, and not from maps, leftovers or faults."""
    return [table for table in kept() if any(column.field for column in table.columns)]


def _seen_table(table: Table) -> str:
    fields = [f"{column.name} {column.sql_type}" for column in table.columns if column.field]
    return (
        f"create table seen_{table.name} (document_id bigint, part_id bigint, item bigint, "
        f"{', '.join(fields)})"
    )
