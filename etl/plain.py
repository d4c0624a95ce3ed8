"""Read plain documents: those that say what the reference foresees, of the kinds that it foresees.

One pass over the values of a document fills a row with a slot for each field; the rows become tables
that DuckDB takes as they are. What is odd is told from what is plain by the first value that does not
fit: the document is then left to the SQL of etl.spread, which reads everything, at ten times the cost.
Both ways lead to the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import repeat
from typing import Any

import orjson
import pyarrow as pa

from etl import columns
from etl.columns import Leaf
from etl.dictionary import Table
from etl.page import ID_LENGTH

PARTS_HELD = 10_000  # at once; where each document has its own, they are of no use

Row = list[Any]

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


class Odd(Exception):
    """A document has something that is not plain."""


class _Object:
    """Where the values of an object go, by key: to a slot as text, or to what takes them."""

    def __init__(self, path: str | None) -> None:
        self.path = path  # None where what is beyond the reference has no path of its own
        self.places: dict[str, Any] = {}
        self.key: int | None = None  # the slot of what has to be there, where anything is

    def take(self, value: Any, row: Row, reader: Reader) -> None:
        """Read the values of an object into a row."""
        if type(value) is not dict:
            raise Odd
        for key, inner in value.items():
            if inner is None or inner == "":
                continue
            place = self.places.get(key)
            if place is None:
                self._take_beyond(key, inner, reader)
            elif type(place) is int:
                row[place] = inner if type(inner) is str else _text(inner)
            else:
                place.take(inner, row, reader)
        if self.key is not None and row[self.key] is None and any(map(_says, value.values())):
            raise Odd

    def _take_beyond(self, key: str, value: Any, reader: Reader) -> None:
        if self.path is None or not _is_exact(value):
            raise Odd
        reader.beyond.append((columns.joined(self.path, key), orjson.dumps(value).decode()))


@dataclass(frozen=True)
class _Value:
    """A value that is not text, or not only."""

    slot: int
    read: Callable[[Any], Any]

    def take(self, value: Any, row: Row, _: Reader) -> None:
        row[self.slot] = self.read(value)


@dataclass(frozen=True)
class _Map:
    """An object with any keys; some of its values are fields as well."""

    slot: int
    leaves: dict[str, _Value]

    def take(self, value: Any, row: Row, _: Reader) -> None:
        if type(value) is not dict:
            raise Odd
        if value:
            row[self.slot] = [(key, _word(inner)) for key, inner in value.items() if _says(inner)]
        for key, leaf in self.leaves.items():
            if _says(inner := value.get(key)):
                row[leaf.slot] = leaf.read(inner)


@dataclass(frozen=True)
class _Items:
    """A list of objects."""

    slot: int
    path: str

    def take(self, value: Any, row: Row, reader: Reader) -> None:
        if type(value) is not list:
            raise Odd
        row[self.slot] = [reader.read(each, _items(self.path)) for each in value]


@dataclass(frozen=True)
class _PartOf:
    """An object that many documents have alike; `lent` are the slots here of the slots there."""

    slot: int
    name: str
    lent: tuple[tuple[int, int], ...]

    def take(self, value: Any, row: Row, reader: Reader) -> None:
        part = reader.part(self.name, value)
        row[self.slot] = part.part_id
        for here, there in self.lent:
            row[here] = part.row[there]
        reader.beyond += part.beyond


@dataclass(frozen=True)
class _Part:
    """An object that many documents have alike."""

    part_id: int
    row: Row
    beyond: list[tuple[str, str]]


@dataclass(frozen=True)
class _Rows:
    """How rows of a table come from rows of slots: where one of the slots `known`, if any, has a value."""

    table: Table
    names: tuple[str, ...]
    slots: tuple[int, ...]
    types: tuple[str, ...]
    known: tuple[int, ...] | None


@dataclass
class _Layout:
    """The slots of an object of one kind, and what becomes of them."""

    root: _Object
    slots: dict[str, int] = field(default_factory=dict)
    tables: list[_Rows] = field(default_factory=list)
    # Of each map: its slot, the slot of its owner's id, the kind of owner, and its name.
    maps: list[tuple[int, int, str, str]] = field(default_factory=list)

    def slot(self, path: str) -> int:
        """The slot of what stands at a path."""
        return self.slots.setdefault(path, len(self.slots))


class Reader:
    """Plain documents that have been read and wait for being taken as tables."""

    def __init__(self) -> None:
        self.beyond: list[tuple[str, str]] = []
        self._parts: dict[tuple[str, bytes], _Part] = {}
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
        self._new_parts: dict[str, list[_Part]] = {part: [] for part in columns.PARTS}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, document: Any, head: tuple[int, int, int, datetime]) -> bool:
        """Read a document; False, and nothing is kept, if it is not plain.

        `head` is its id, the numbers of its slice and page, and when it was seen.
        """
        self.beyond = []
        try:
            row = self.read(document, layout := _documents())
        except Odd:
            return False
        name = row[layout.slots["id"]]
        if name is None:
            return False
        self._rows.append(row)
        self._heads.append(head)
        self._extras += [(head[0], name, *each) for each in self.beyond]
        return True

    def read(self, value: Any, layout: _Layout) -> Row:
        """The row of an object; raises Odd."""
        row: Row = [None] * len(layout.slots)
        layout.root.take(value, row, self)
        return row

    def part(self, name: str, value: Any) -> _Part:
        """A part of a document, which is read where it is the first of its kind; raises Odd."""
        key = name, orjson.dumps(value)
        if key not in self._parts:
            if len(self._parts) >= PARTS_HELD:
                self._parts.clear()
            before, self.beyond = self.beyond, []
            row = self.read(value, _part(name))
            self._last_part -= 1  # the SQL counts upwards
            self._parts[key] = _Part(self._last_part, row, self.beyond)
            self._new_parts[name].append(self._parts[key])
            self.beyond = before
        return self._parts[key]

    def take(self) -> Iterator[tuple[str, pa.Table]]:
        """The staging tables that have rows, by name; the documents are then forgotten."""
        rows, ids = self._rows, [head[0] for head in self._heads]
        layout = _documents()
        if not rows:
            return
        yield "documents", self._documents_table()
        names = [row[layout.slots["id"]] for row in rows]
        none = [0] * len(rows)
        yield from _tables(layout, rows, document_id=ids, item=none, instance_id=names)
        attributes = list(_attributes(layout, rows, ids, repeat(None)))
        for name, parts in self._new_parts.items():
            found, numbers = [part.row for part in parts], [part.part_id for part in parts]
            yield from _tables(_part(name), found, part_id=numbers, item=[0] * len(found))
            attributes += _attributes(_part(name), found, repeat(None), numbers)
        for path in columns.LISTS:
            yield from _item_tables(path, rows, ids, names)
        if attributes:
            yield "seen_attributes", _table(attributes, _ATTRIBUTES)
        if self._extras:
            yield "seen_extras", _table(self._extras, _EXTRAS)
        self._empty()  # but for the parts: one that comes again has its rows already

    def _documents_table(self) -> pa.Table:
        slots = _documents().slots
        ours = [slots[name] for name in ("id", "creation_timestamp", "latest_update_timestamp")]
        parts = [slots[part] for part in columns.PARTS]
        return _table(
            [
                (*head, *(row[slot] for slot in ours), [row[slot] for slot in parts if row[slot] is not None])
                for head, row in zip(self._heads, self._rows, strict=True)
            ],
            _DOCUMENTS,
        )


@cache
def _documents() -> _Layout:
    """The layout of a document."""
    layout = _laid_out(columns.own_leaves(), columns.own_maps(), "")
    layout.root.places["id"] = _Value(layout.slot("id"), _identity)
    for part in columns.PARTS:
        there = _part(part)
        lent = [leaf for leaf in columns.own_leaves(part) if leaf.table.owner == "instance"]
        slots = tuple((layout.slot(f"{part}.{leaf.path}"), there.slots[leaf.path]) for leaf in lent)
        layout.root.places[part] = _PartOf(layout.slot(part), part, slots)
        for leaf in lent:
            _lend(layout, leaf, layout.slots[f"{part}.{leaf.path}"])
    for path in columns.LISTS:
        _place(layout, path, _Items(layout.slot(path), path))
    return layout


@cache
def _part(name: str) -> _Layout:
    """The layout of a part of a document."""
    return _laid_out(columns.own_leaves(name), columns.own_maps(name), name)


@cache
def _items(path: str) -> _Layout:
    """The layout of an object in the list at a path."""
    return _laid_out(columns.item_leaves(path), (), None)


def _laid_out(leaves: Sequence[Leaf], maps_of: Sequence[str], prefix: str | None) -> _Layout:
    """The layout of an object with these fields; what is beyond them has a path after the prefix, if any."""
    layout = _Layout(_Object(prefix))
    inside: dict[str, dict[str, _Value]] = {path: {} for path in maps_of}
    for leaf in leaves:
        around = next((path for path in maps_of if leaf.path.startswith(path + ".")), None)
        value = _Value(layout.slot(leaf.path), _READERS[leaf.column.type])
        if around is not None:
            inside[around][leaf.path[len(around) + 1 :]] = value
        else:
            _place(layout, leaf.path, value.slot if leaf.column.type == "text" else value)
    for path in maps_of:
        _place(layout, path, _Map(layout.slot(path), inside[path]))
    own = [leaf for leaf in leaves if not _is_owner(leaf) and not (prefix and leaf.table.owner == "instance")]
    for table, base in dict.fromkeys((leaf.table, leaf.base) for leaf in own):
        layout.tables.append(
            _rows(layout, table, [leaf for leaf in own if (leaf.table, leaf.base) == (table, base)])
        )
    part = prefix or ""
    layout.maps = [_map_spec(layout, leaves, path, part) for path in maps_of]
    for pointer, key in columns.shared_keys(leaves).items():
        _object(layout, columns.dotted(pointer)).key = layout.slots[key.path]
    return layout


def _place(layout: _Layout, path: str, place: Any) -> None:
    """Say what takes the values at a path."""
    parent, _, last = path.rpartition(".")
    _object(layout, parent).places[last] = place


def _object(layout: _Layout, path: str) -> _Object:
    """What takes the object at a path."""
    at = layout.root
    for name in path.split(".") if path else ():
        if name not in at.places:
            at.places[name] = _Object(at.path if at.path is None else columns.joined(at.path, name))
        at = at.places[name]
    return at


def _is_owner(leaf: Leaf) -> bool:
    """Whether a field is the id of the instance that a row belongs to, which each row has anyhow."""
    return leaf.table.owner == "instance" and leaf.column.name == "instance_id"


def _rows(layout: _Layout, table: Table, leaves: Sequence[Leaf]) -> _Rows:
    slots = tuple(layout.slots[leaf.path] for leaf in leaves)
    keys = tuple(layout.slots[leaf.path] for leaf in leaves if leaf.column.role == "key")
    # An instance is one by its id alone.
    known = None if table.name == "instances" else keys or slots
    names, types = (tuple(getattr(leaf.column, name) for leaf in leaves) for name in ("name", "type"))
    return _Rows(table, names, slots, types, known)


def _lend(layout: _Layout, leaf: Leaf, slot: int) -> None:
    """Add a field of a part to the table of the instances that it says something of."""
    at = next(number for number, each in enumerate(layout.tables) if each.table == leaf.table)
    old = layout.tables[at]
    layout.tables[at] = _Rows(
        old.table,
        (*old.names, leaf.column.name),
        (*old.slots, slot),
        (*old.types, leaf.column.type),
        old.known,
    )


def _map_spec(layout: _Layout, leaves: Sequence[Leaf], path: str, part: str) -> tuple[int, int, str, str]:
    found, owner = columns.map_at(path, part)
    named = {leaf.name: leaf.path for leaf in leaves}
    return layout.slots[path], layout.slots[named.get(owner, "id")], found.owner_kind, found.name


def _tables(layout: _Layout, rows: Sequence[Row], **ids: Sequence[Any]) -> Iterator[tuple[str, pa.Table]]:
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
    slot = _documents().slots[path]
    found = [
        (item, ids[number], count, names[number])
        for number, row in enumerate(rows)
        for count, item in enumerate(row[slot] or (), start=1)
    ]
    if found:
        items, documents, counts, owners = zip(*found, strict=True)
        yield from _tables(_items(path), items, document_id=documents, item=counts, instance_id=owners)


def _attributes(
    layout: _Layout, rows: Sequence[Row], documents: Iterable[Any], parts: Iterable[Any]
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


# What reads a value, or says that it is not plain.


def _says(value: Any) -> bool:
    return value is not None and value != ""


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise Odd


def _word(value: Any) -> str:
    """The value of a map, which may be true or false as well."""
    return ("true" if value else "false") if type(value) is bool else _text(value)


def _identity(value: Any) -> str:
    if (
        type(value) is str
        and len(value) <= ID_LENGTH
        and value[0] not in "{["
        and value not in ("true", "false")
    ):
        return value
    raise Odd


def _integer(value: Any) -> int:
    if type(value) is str and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    raise Odd


def _milliseconds(value: Any) -> int:
    if type(value) is str and 12 <= len(value) <= 14 and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is int and 10**11 <= value < 10**14:
        return value
    raise Odd


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise Odd


_SIZE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))? *([A-Za-z]{1,3})")


def _bytes(value: Any) -> int:
    size = _SIZE.fullmatch(value) if type(value) is str else None
    unit = columns.UNITS.get(size[3].upper()) if size else None
    if not size or not unit:
        raise Odd
    parts = 10 ** len(size[2] or "")
    found: int = (2 * int(size[1] + (size[2] or "")) * unit + parts) // (2 * parts)
    if found >= 2**63:
        raise Odd
    return found


def _texts(value: Any) -> str | None:
    if type(value) is list and all(type(each) is str for each in value):
        return ",".join(sorted(set(value))) or None
    raise Odd


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "bytes": _bytes,
    "boolean": _boolean,
    "timestamp_ms": _milliseconds,
    "list": _texts,
}


def _is_exact(value: Any) -> bool:
    """Whether a value is written by everyone in one way: no numbers with a point, no escapes of controls."""
    if type(value) is dict:
        return all(_is_exact(key) and _is_exact(inner) for key, inner in value.items())
    if type(value) is list:
        return all(map(_is_exact, value))
    if type(value) is str:
        return _CONTROL.search(value) is None
    return value is None or type(value) in (int, bool)


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
