"""Read plain documents: those that say what the reference foresees, of the kinds that it foresees.

One pass over the values of a document fills a row with a slot for each field; the rows become tables
that DuckDB takes as they are. What is odd is told from what is plain by the first value that does not
fit: the document is then left to the SQL of etl.spread, which reads everything, at four times the cost.
Both ways lead to the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import orjson
import pyarrow as pa

from etl import columns, slots
from etl.kinds import Odd
from etl.slots import Layout, Part, Row

PARTS_HELD = 10_000  # at once; where each document has its own, they are of no use

_ARROW = {
    "text": pa.string(),
    "list": pa.string(),
    "integer": pa.int64(),
    "bytes": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp_ms": pa.timestamp("ms", "UTC"),
}
_IDS = {"document_id": "integer", "part_id": "integer", "item": "integer", "instance_id": "text"}
_TIME = pa.timestamp("us", "UTC")
_DOCUMENTS = pa.schema(
    [
        ("document_id", pa.int64()),
        ("slice", pa.int64()),
        ("page", pa.int64()),
        ("observed_at", _TIME),
        ("instance_id", pa.string()),
        ("created_at", _ARROW["timestamp_ms"]),
        ("updated_at", _ARROW["timestamp_ms"]),
        ("parts", pa.list_(pa.int64())),
    ]
)
_ATTRIBUTES = pa.schema(
    [("document_id", pa.int64()), ("part_id", pa.int64())]
    + [(name, pa.string()) for name in ("owner_kind", "owner_id", "map", "key", "value")]
)
_EXTRAS = pa.schema(
    [("document_id", pa.int64())] + [(n, pa.string()) for n in ("instance_id", "path", "value")]
)


class Reader:
    """Plain documents that have been read and wait for being taken as tables."""

    def __init__(self) -> None:
        self.beyond: list[tuple[str, str]] = []
        self._parts: dict[tuple[str, bytes], Part] = {}
        self._last_part = 0
        self._empty()

    def clear(self) -> None:
        """Forget the documents, and all parts of those before."""
        self._parts.clear()
        self._empty()

    def _empty(self) -> None:
        self._rows: list[Row] = []
        self._heads: list[tuple[int, int, int, datetime]] = []
        self._extras: list[tuple[int, str, str, str]] = []
        self._new_parts: dict[str, list[Part]] = {part: [] for part in columns.PARTS}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, document: Any, head: tuple[int, int, int, datetime]) -> bool:
        """Read a document; False, and nothing is kept, if it is not plain.

        `head` is its id, the numbers of its slice and page, and when it was seen.
        """
        self.beyond = []
        try:
            row = self.read(document, layout := slots.of_documents())
        except Odd:
            return False
        name = row[layout.slots["id"]]
        if name is None:
            return False
        self._rows.append(row)
        self._heads.append(head)
        self._extras += [(head[0], name, *each) for each in self.beyond]
        return True

    def read(self, value: Any, layout: Layout) -> Row:
        """The row of an object; raises Odd."""
        row: Row = [None] * len(layout.slots)
        layout.root.take(value, row, self)
        return row

    def part(self, name: str, value: Any) -> Part:
        """A part of a document, which is read where it is the first of its kind; raises Odd."""
        key = name, orjson.dumps(value)
        if key not in self._parts:
            if len(self._parts) >= PARTS_HELD:
                self._parts.clear()
            before, self.beyond = self.beyond, []
            row = self.read(value, slots.of_part(name))
            self._last_part -= 1  # the SQL counts upwards
            self._parts[key] = Part(self._last_part, row, self.beyond)
            self._new_parts[name].append(self._parts[key])
            self.beyond = before
        return self._parts[key]

    def take(self) -> Iterator[tuple[str, pa.Table]]:
        """The staging tables that have rows, by name; the documents are then forgotten."""
        rows, ids = self._rows, [head[0] for head in self._heads]
        layout = slots.of_documents()
        if not rows:
            return
        yield "documents", self._documents_table()
        names = [row[layout.slots["id"]] for row in rows]
        none = [0] * len(rows)
        yield from _tables(layout, rows, document_id=ids, item=none, instance_id=names)
        attributes = list(_attributes(layout, rows, ids, repeat(None)))
        for name, parts in self._new_parts.items():
            found, numbers = [part.row for part in parts], [part.part_id for part in parts]
            yield from _tables(slots.of_part(name), found, part_id=numbers, item=[0] * len(found))
            attributes += _attributes(slots.of_part(name), found, repeat(None), numbers)
        for path in columns.LISTS:
            yield from _item_tables(path, rows, ids, names)
        if attributes:
            yield "seen_attributes", _table(attributes, _ATTRIBUTES)
        if self._extras:
            yield "seen_extras", _table(self._extras, _EXTRAS)
        self._empty()  # but for the parts: one that comes again has its rows already

    def _documents_table(self) -> pa.Table:
        own = slots.of_documents().slots
        ours = [own[name] for name in ("id", "creation_timestamp", "latest_update_timestamp")]
        parts = [own[part] for part in columns.PARTS]
        return _table(
            [
                (*head, *(row[slot] for slot in ours), [row[slot] for slot in parts if row[slot] is not None])
                for head, row in zip(self._heads, self._rows, strict=True)
            ],
            _DOCUMENTS,
        )


def _tables(layout: Layout, rows: Sequence[Row], **ids: Sequence[Any]) -> Iterator[tuple[str, pa.Table]]:
    """The staging tables of rows of slots; `ids` are columns of what the rows are and belong to."""
    slots = list(zip(*rows, strict=True))
    for each in layout.tables if rows else ():
        at = None if each.known is None else _places(slots, each.known)
        if at is None or at:
            arrays = {name: _column(values, at, _IDS[name]) for name, values in ids.items()}
            if each.table.owner != "instance":
                arrays.pop("instance_id", None)
            for name, slot, kind in zip(each.names, each.slots, each.types, strict=True):
                arrays[name] = _column(slots[slot], at, kind)
            yield f"seen_{each.table.name}", pa.table(arrays)


def _places(slots: Sequence[Sequence[Any]], known: Sequence[int]) -> list[int]:
    """The numbers of the rows that have a value in one of these slots."""
    if len(known) == 1:
        return [number for number, value in enumerate(slots[known[0]]) if value is not None]
    together = zip(*(slots[slot] for slot in known), strict=True)
    nothing = (None,) * len(known)
    return [number for number, values in enumerate(together) if values != nothing]


def _item_tables(
    path: str, rows: Sequence[Row], ids: Sequence[int], names: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """The staging tables of the objects in the lists at a path."""
    slot = slots.of_documents().slots[path]
    found = [
        (item, ids[number], count, names[number])
        for number, row in enumerate(rows)
        for count, item in enumerate(row[slot] or (), start=1)
    ]
    if found:
        items, documents, counts, owners = zip(*found, strict=True)
        yield from _tables(
            slots.of_items(path), items, document_id=documents, item=counts, instance_id=owners
        )


def _attributes(
    layout: Layout, rows: Sequence[Row], documents: Iterable[Any], parts: Iterable[Any]
) -> Iterator[tuple[Any, ...]]:
    """A row for each key of each map whose owner has an id."""
    for row, document, part in zip(rows, documents, parts, strict=False):
        for slot, owner, kind, name in layout.maps:
            if row[slot] and row[owner] is not None:
                for key, value in row[slot]:
                    yield document, part, kind, row[owner], name, key, value


def _column(values: Sequence[Any], at: Sequence[int] | None, kind: str) -> pa.Array:
    """The values at these places, or all of them, as a column."""
    array = pa.array(values if at is None else [values[number] for number in at], _ARROW[kind])
    return array.cast(_TIME) if kind == "timestamp_ms" else array


def _table(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    columns_of = zip(*rows, strict=True)
    return pa.Table.from_arrays(
        [pa.array(list(values), each.type) for values, each in zip(columns_of, schema, strict=True)],
        schema=schema,
    )
