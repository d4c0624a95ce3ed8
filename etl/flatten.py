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

from etl import columns, correspondence, plain, spread, sqlfiles, successor
from etl.apis import NOTEBOOKS
from etl.columns import quoted
from etl.dictionary import Table, kept
from etl.page import faithful
from etl.raw import RawPage
from etl.successor import Note, compact, parsed, written

PLAIN_HELD = 5_000  # documents, before they go into the staging tables
ODD_BYTES = 4_000_000  # likewise
WAITING_BYTES = 128_000_000  # of the rows that wait for the end of the listing, before they go to the disk
COMPARING_BYTES = 1_000  # for each document, and each instance that was known
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

# What the documents of the successor say beyond the form that they were put into.
_NOTES = pa.schema([("document_id", pa.int64()), *((name, pa.string()) for name in Note._fields)])
_NOTED = """
insert into seen_extras
select document_id, instance_id, path, value
from notes join documents using (document_id) where fault = '' and instance_id is not null;
insert into seen_quarantine
select document_id, instance_id, path, md5(value), fault, value, slice, page
from notes join documents using (document_id) where fault <> ''
"""
# What is wrong with them is said of what came: of the whole document, and of the fields that it has.
_CAME = pa.schema([("document_id", pa.int64()), ("came", pa.large_string())])
_NAMED = """
update seen_quarantine as said set document = came, fingerprint = md5(came)
from originals where said.document_id = originals.document_id and said.field is null;
update seen_quarantine as said set field = own
from originals, names
where said.document_id = originals.document_id and said.field = names.field
"""


class Staging:
    """An in-memory database in which the pages of one sweep become tidy relations."""

    def __init__(self, memory_bytes: int = 1_000_000_000, spill: str | None = None) -> None:
        self.memory_bytes = memory_bytes
        self._is_usual = True
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("set preserve_insertion_order = false")
        self.connection.execute("set enable_progress_bar = false")  # It would go to standard output.
        self._keep_to(memory_bytes)
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
        self._translator = successor.Translator()
        self._notes: list[tuple[Any, ...]] = []
        self._originals: list[tuple[int, str]] = []

    def wait(self) -> None:
        """Hold little in memory while pages are still coming: what was added waits on the disk.

        What is larger than instances are, or odd, may take all of the memory from then on.
        """
        [(known, held)] = self.connection.execute(
            "select (select count(*) from last_instances), "
            "(select sum(memory_usage_bytes) from duckdb_memory())"
        ).fetchall()
        self._is_usual = held <= COMPARING_BYTES * known + WAITING_BYTES // 4
        self._keep_to(WAITING_BYTES)

    def work(self) -> None:
        """Take the memory that it needs to compare what was added, which grows with it up to what is set."""
        [(count,)] = self.connection.execute(
            "select (select count(*) from documents) + (select count(*) from last_instances)"
        ).fetchall()
        self._keep_to(max(WAITING_BYTES, COMPARING_BYTES * count))

    def expect(self, body_bytes: int, connection: duckdb.DuckDBPyConnection) -> None:
        """Take all of the memory from now on if an answer is larger than usual; by a connection of the
        thread that calls."""
        if body_bytes > ODD_BYTES:
            self._take_all(connection)

    def _keep_to(self, memory_bytes: int) -> None:
        most = min(memory_bytes, self.memory_bytes) if self._is_usual else self.memory_bytes
        self.connection.execute(f"set memory_limit = '{most}B'")

    def _take_all(self, connection: duckdb.DuckDBPyConnection) -> None:
        if self._is_usual:
            self._is_usual = False
            connection.execute(f"set memory_limit = '{self.memory_bytes}B'")

    def add(self, pages: Sequence[RawPage]) -> None:
        """Flatten pages; their rows are in the staging relations when `settle` was called."""
        for page in pages:
            self._add(page)
            if len(self._plain) >= PLAIN_HELD or self._odd_bytes >= ODD_BYTES:
                self.settle()

    def settle(self) -> None:
        """Put the rows of all pages that were added into the staging relations."""
        for name, table in self._plain.take():
            self.put(name, table)
        if self._odd:
            self.connection.register("pages", _table(self._odd, _PAGES))
            spread.spread(self.connection)
            self.connection.unregister("pages")
            self._odd, self._odd_bytes = [], 0
        self._settle_successors()

    def clear(self) -> None:
        """Forget the pages that were added."""
        self._plain.clear()
        self._translator.clear()
        self._notes, self._originals = [], []
        for name in staged():
            self.connection.execute(f"delete from {name}")

    def put(self, name: str, rows: pa.Table) -> None:
        """Put rows into one of the staging relations."""
        self.connection.register("rows", rows)
        self.connection.execute(f"insert into {name} by name from rows")
        self.connection.unregister("rows")

    def _add(self, raw: RawPage) -> None:
        first, page = self._next_id, raw.page
        self._next_id += _ROOM
        self.expect(len(page.body), self.connection)
        if page.resource.api == NOTEBOOKS:
            self._add_successors(first, raw)
            return
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

    def _add_successors(self, first: int, raw: RawPage) -> None:
        """Flatten a page of the successor: its documents in the form of the reference, or its flavors."""
        page, write = raw.page, compact
        documents = page.documents
        if documents is None and not page.repaired:
            found = faithful(page.body.encode(), self.connection)
            documents = found.get(page.resource.rows) if type(found) is dict else None
        exact = type(documents) is list
        if documents is None or not exact:
            documents, write = parsed(page.body, page.resource.rows), written
        if page.resource.is_catalogue:
            self._translator.learn(documents, write)
            return
        for number, came in enumerate(documents, start=first):
            document, notes = self._translator.translated(came, write)
            self._notes += [(number, *note) for note in notes]
            head = (number, raw.slice, raw.number, page.observed_at)
            if not exact or not self._plain.add(document, head):
                self._originals.append((number, write(came)))
                self._add_odd(number, raw, f'{{"instances":[{write(document)}]}}')

    def _settle_successors(self) -> None:
        """Put into the staging relations what is beyond the form, and the fields' own names."""
        if self._notes:
            self.connection.register("notes", _table(self._notes, _NOTES))
            self.connection.execute(_NOTED)
            self.connection.unregister("notes")
        if self._originals:
            found = self.connection.execute("select distinct field from seen_quarantine").fetchall()
            names = [{"field": each, "own": correspondence.own_path(each)} for (each,) in found if each]
            fields = pa.schema([("field", pa.string()), ("own", pa.string())])
            self.connection.register("originals", _table(self._originals, _CAME))
            self.connection.register("names", pa.Table.from_pylist(names, schema=fields))
            self.connection.execute(_NAMED)
            self.connection.unregister("originals")
            self.connection.unregister("names")
        self._notes, self._originals = [], []

    def _add_odd(self, first: int, raw: RawPage, body: str) -> None:
        page = raw.page
        self._take_all(self.connection)
        self._odd.append((first, raw.slice, raw.number, page.observed_at, page.repaired, body))
        self._odd_bytes += len(body)


def _table(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    columns_of = zip(*rows, strict=True)
    arrays = [pa.array(list(values), each.type) for values, each in zip(columns_of, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def relations(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tidy relations `tidy_<table>` of all that was added, from sql/tidy."""
    for table in kept():
        connection.execute(
            f"create or replace temp view tidy_{table.name} as {sqlfiles.text('tidy', table.name)}"
        )


def staged() -> list[str]:
    """The names of the staging relations."""
    others = ("documents", "seen_attributes", "seen_extras", "seen_quarantine")
    return [*others, *(f"seen_{table.name}" for table in _from_fields())]


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
