"""Where the values of a plain document go: a slot for each field, and what becomes of the slots.

The layout of a document, of a part of it and of an item of a list is made from the dictionary, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import orjson

from etl import columns, kinds
from etl.columns import Leaf
from etl.dictionary import Table
from etl.kinds import Odd

Row = list[Any]


class Reader(Protocol):
    """What reads the objects that a place leads to, and keeps what is beyond the reference."""

    beyond: list[tuple[str, str]]

    def read(self, value: Any, layout: Layout) -> Row:
        """The row of an object."""

    def part(self, name: str, value: Any) -> Part:
        """A part of a document."""


class ObjectAt:
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
                row[place] = inner if type(inner) is str else kinds.text(inner)
            else:
                place.take(inner, row, reader)
        if self.key is not None and row[self.key] is None and any(map(kinds.says, value.values())):
            raise Odd

    def _take_beyond(self, key: str, value: Any, reader: Reader) -> None:
        if self.path is None or not kinds.is_exact(value):
            raise Odd
        reader.beyond.append((columns.joined(self.path, key), orjson.dumps(value).decode()))


@dataclass(frozen=True)
class Value:
    """A value that is not text, or not only."""

    slot: int
    read: Callable[[Any], Any]

    def take(self, value: Any, row: Row, _: Reader) -> None:
        row[self.slot] = self.read(value)


@dataclass(frozen=True)
class MapAt:
    """An object with any keys; some of its values are fields as well."""

    slot: int
    leaves: dict[str, Value]

    def take(self, value: Any, row: Row, _: Reader) -> None:
        if type(value) is not dict:
            raise Odd
        if value:
            row[self.slot] = [(key, kinds.word(inner)) for key, inner in value.items() if kinds.says(inner)]
        for key, leaf in self.leaves.items():
            if kinds.says(inner := value.get(key)):
                row[leaf.slot] = leaf.read(inner)


@dataclass(frozen=True)
class ItemsAt:
    """A list of objects."""

    slot: int
    path: str

    def take(self, value: Any, row: Row, reader: Reader) -> None:
        if type(value) is not list:
            raise Odd
        row[self.slot] = [reader.read(each, of_items(self.path)) for each in value]


@dataclass(frozen=True)
class PartOf:
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
class Part:
    """An object that many documents have alike."""

    part_id: int
    row: Row
    beyond: list[tuple[str, str]]


@dataclass(frozen=True)
class RowsOf:
    """How rows of a table come from rows of slots: where one of the slots `known`, if any, has a value."""

    table: Table
    names: tuple[str, ...]
    slots: tuple[int, ...]
    types: tuple[str, ...]
    known: tuple[int, ...] | None


@dataclass
class Layout:
    """The slots of an object of one kind, and what becomes of them."""

    root: ObjectAt
    slots: dict[str, int] = field(default_factory=dict)
    tables: list[RowsOf] = field(default_factory=list)
    # Of each map: its slot, the slot of its owner's id, the kind of owner, and its name.
    maps: list[tuple[int, int, str, str]] = field(default_factory=list)

    def slot(self, path: str) -> int:
        """The slot of what stands at a path."""
        return self.slots.setdefault(path, len(self.slots))


@cache
def of_documents() -> Layout:
    """The layout of a document."""
    layout = _laid_out(columns.own_leaves(), columns.own_maps(), "")
    layout.root.places["id"] = Value(layout.slot("id"), kinds.identity)
    for part in columns.PARTS:
        there = of_part(part)
        lent = [leaf for leaf in columns.own_leaves(part) if leaf.table.owner == "instance"]
        slots = tuple((layout.slot(f"{part}.{leaf.path}"), there.slots[leaf.path]) for leaf in lent)
        layout.root.places[part] = PartOf(layout.slot(part), part, slots)
        for leaf in lent:
            _lend(layout, leaf, layout.slots[f"{part}.{leaf.path}"])
    for path in columns.LISTS:
        _place(layout, path, ItemsAt(layout.slot(path), path))
    return layout


@cache
def of_part(name: str) -> Layout:
    """The layout of a part of a document."""
    return _laid_out(columns.own_leaves(name), columns.own_maps(name), name)


@cache
def of_items(path: str) -> Layout:
    """The layout of an object in the list at a path."""
    return _laid_out(columns.item_leaves(path), (), None)


def _laid_out(leaves: Sequence[Leaf], maps_of: Sequence[str], prefix: str | None) -> Layout:
    """The layout of an object with these fields; what is beyond them has a path after the prefix, if any."""
    layout = Layout(ObjectAt(prefix))
    inside: dict[str, dict[str, Value]] = {path: {} for path in maps_of}
    for leaf in leaves:
        around = next((path for path in maps_of if leaf.path.startswith(path + ".")), None)
        value = Value(layout.slot(leaf.path), kinds.READERS[leaf.column.type])
        if around is not None:
            inside[around][leaf.path[len(around) + 1 :]] = value
        else:
            _place(layout, leaf.path, value.slot if leaf.column.type == "text" else value)
    for path in maps_of:
        _place(layout, path, MapAt(layout.slot(path), inside[path]))
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


def _place(layout: Layout, path: str, place: Any) -> None:
    """Say what takes the values at a path."""
    parent, _, last = path.rpartition(".")
    _object(layout, parent).places[last] = place


def _object(layout: Layout, path: str) -> ObjectAt:
    """What takes the object at a path."""
    at = layout.root
    for name in path.split(".") if path else ():
        if name not in at.places:
            at.places[name] = ObjectAt(at.path if at.path is None else columns.joined(at.path, name))
        at = at.places[name]
    return at


def _is_owner(leaf: Leaf) -> bool:
    """Whether a field is the id of the instance that a row belongs to, which each row has anyhow."""
    return leaf.table.owner == "instance" and leaf.column.name == "instance_id"


def _rows(layout: Layout, table: Table, leaves: Sequence[Leaf]) -> RowsOf:
    slots = tuple(layout.slots[leaf.path] for leaf in leaves)
    keys = tuple(layout.slots[leaf.path] for leaf in leaves if leaf.column.role == "key")
    # An instance is one by its id alone.
    known = None if table.name == "instances" else keys or slots
    names, types = (tuple(getattr(leaf.column, name) for leaf in leaves) for name in ("name", "type"))
    return RowsOf(table, names, slots, types, known)


def _lend(layout: Layout, leaf: Leaf, slot: int) -> None:
    """Add a field of a part to the table of the instances that it says something of."""
    at = next(number for number, each in enumerate(layout.tables) if each.table == leaf.table)
    old = layout.tables[at]
    layout.tables[at] = RowsOf(
        old.table,
        (*old.names, leaf.column.name),
        (*old.slots, slot),
        (*old.types, leaf.column.type),
        old.known,
    )


def _map_spec(layout: Layout, leaves: Sequence[Leaf], path: str, part: str) -> tuple[int, int, str, str]:
    found, owner = columns.map_at(path, part)
    named = {leaf.name: leaf.path for leaf in leaves}
    return layout.slots[path], layout.slots[named.get(owner, "id")], found.owner_kind, found.name
