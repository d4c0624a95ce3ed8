"""From the data dictionary to SQL: how each field of a document becomes a typed column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from etl.dictionary import Column, Table, kept, maps

# Each macro gives null for what it cannot read. Text needs none: the kinds of the values, which are
# looked at for each document, tell text from what is none.
MACROS = r"""
create or replace macro whole_number(value) as
    try_cast(regexp_extract(value, '^(-?[0-9]+)(\.0*)?$', 1) as bigint);
create or replace macro text_of(value) as nullif(value, '');
create or replace macro integer_of(value) as whole_number(value);
create or replace macro boolean_of(value) as
    case lower(value) when 'true' then true when 'false' then false end;
create or replace macro timestamp_ms_of(value) as
    make_timestamptz(
        try_cast(regexp_extract(value, '^([0-9]{12,14})(\.0*)?$', 1) as bigint) * 1000);
create or replace macro unit_bytes(unit) as
    case upper(unit)
        when 'B' then 1
        when 'KB' then 1000 when 'KIB' then 1024
        when 'MB' then 1000000 when 'MIB' then 1048576
        when 'GB' then 1000000000 when 'GIB' then 1073741824
        when 'TB' then 1000000000000 when 'TIB' then 1099511627776
    end::bigint;
create or replace macro bytes_of(value) as
    try_cast(round(
        try_cast(regexp_extract(value, '^([0-9]+(\.[0-9]+)?) *([A-Za-z]+)$', 1) as decimal(18, 6))
        * unit_bytes(regexp_extract(value, '^([0-9]+(\.[0-9]+)?) *([A-Za-z]+)$', 3))) as bigint);
create or replace macro list_of(value) as
    case when json_type(value) = 'ARRAY' and not list_has_any(json_type(value, '$[*]'), ['ARRAY', 'OBJECT'])
        then nullif(array_to_string(list_sort(list_distinct(from_json(value, '["VARCHAR"]'))), ','), '')
    end;
"""


# What is said of a value that cannot be read as the type of its column.
FAULTS = {
    "text": "not text",
    "integer": "not a whole number",
    "bytes": "not a size",
    "boolean": "not true or false",
    "timestamp_ms": "not a time in milliseconds",
    "list": "not a list of texts",
}

# The lists of objects, each of which becomes rows of a table.
LISTS = ("spec.extend_storage",)


@dataclass(frozen=True)
class Leaf:
    """A field of one object as SQL over a row that holds the object's values as `s`."""

    column: Column
    table: Table
    base: str
    value: str
    pointer: str

    @property
    def name(self) -> str:
        """The name of its typed column in the staging table."""
        return f"{self.table.name}__{self.column.name}__{self.table.bases.index(self.base)}"

    @property
    def raw(self) -> str:
        """The name of the staging column that holds its value as it came."""
        return f"raw__{self.name}"

    @property
    def typed(self) -> str:
        """The expression of its typed value; null where there is none or it is unusable."""
        return f"{self.column.type}_of({self.value})"

    @property
    def typed_from_raw(self) -> str:
        """The same over the column that holds the value as it came."""
        return f"{self.column.type}_of({self.raw})"

    @property
    def fault(self) -> str:
        """The expression of where it is and what is wrong with it; null where nothing is."""
        said = quoted(f"{self.pointer} {FAULTS[self.column.type]}")
        nothing = """('null', '""', '[]')""" if self.column.type == "list" else "('')"
        unreadable = f"{self.raw} not in {nothing} and {self.name} is null"
        return f"case when {unreadable} then {said} end"


@dataclass(frozen=True)
class Form:
    """What the reference lets an object hold, by path: objects with their keys, maps, lists, texts.

    `shape` is its structure for json_transform.
    """

    shape: str
    objects: Mapping[str, frozenset[str]]
    maps: tuple[str, ...]
    lists: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def kinds(self) -> dict[str, str]:
        """The JSON type that stands at each path; OTHER is whatever can be read as text."""
        objects = dict.fromkeys((*self.objects, *self.maps), "OBJECT")
        return {**objects, **dict.fromkeys(self.lists, "ARRAY"), **dict.fromkeys(self.texts, "OTHER")}


def quoted(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


@cache
def leaves() -> tuple[Leaf, ...]:
    """Every field of the dictionary, once for each object that it occurs in."""
    return tuple(
        _leaf(table, column, base)
        for table in kept()
        for base in table.bases
        if not base.endswith("[]")
        for column in table.columns
        if column.field
    )


@cache
def item_leaves(path: str) -> tuple[Leaf, ...]:
    """The fields of the objects in the list at a path."""
    base = f"{path}[]"
    return tuple(
        Leaf(column, table, base, struct_value(_relative(column.field, table)), _item_pointer(column, table))
        for table in kept()
        if base in table.bases
        for column in table.columns
        if column.field.startswith(table.bases[0] + ".")
    )


@cache
def document_form() -> Form:
    """What a document may hold."""
    return _form(leaves(), map_paths(), LISTS)


@cache
def item_form(path: str) -> Form:
    """What an object in the list at a path may hold."""
    return _form(item_leaves(path), (), ())


@cache
def map_paths() -> tuple[str, ...]:
    """The paths of all maps, at every place where they occur."""
    fields = [each.field for each in maps()]
    also = [f"queuing_info.{field}" for field in fields if field.startswith("flavor_details.")]
    return (*fields, *also)


def pointer(path: str) -> str:
    """The JSON pointer of a dotted path of the reference."""
    return "".join("/" + part for part in path.split(".")) if path else ""


def struct_value(path: str) -> str:
    """The expression of the value at a path of the shape."""
    return "s." + ".".join(f'"{part}"' for part in path.split("."))


def _leaf(table: Table, column: Column, base: str) -> Leaf:
    path = _path(column.field, table, base)
    around = _map_around(path)
    if around:
        value = f"({struct_value(around)} ->> {quoted('$.' + json.dumps(path[len(around) + 1 :]))})"
    else:
        value = struct_value(path) + ("::varchar" if column.type == "list" else "")
    return Leaf(column, table, base, value, pointer(path))


def _item_pointer(column: Column, table: Table) -> str:
    return pointer(_relative(column.field, table))


def _relative(field: str, table: Table) -> str:
    return field[len(table.bases[0]) + 1 :]


def _path(field: str, table: Table, base: str) -> str:
    """The path of a field in the object at another base."""
    if not table.bases[0] or not field.startswith(table.bases[0] + "."):
        return field
    return f"{base}.{_relative(field, table)}"


def _path_of(leaf: Leaf) -> str:
    return leaf.pointer[1:].replace("/", ".")


def _map_around(path: str) -> str | None:
    """The map that a path leads into."""
    return next((each for each in map_paths() if path.startswith(each + ".")), None)


def _form(leaves: Sequence[Leaf], maps: tuple[str, ...], lists: tuple[str, ...]) -> Form:
    """The form of an object with these fields; what lies inside of a map is the map's own."""
    kinds = {_path_of(leaf): "JSON" if leaf.column.type == "list" else "VARCHAR" for leaf in leaves}
    kinds = {path: kind for path, kind in kinds.items() if not _map_around(path)}
    tree: dict[str, Any] = {}
    keys: dict[str, set[str]] = {}
    for path, kind in {**kinds, **dict.fromkeys((*maps, *lists), "JSON")}.items():
        parts = path.split(".")
        inner = tree
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        inner[parts[-1]] = kind
        for depth, part in enumerate(parts):
            keys.setdefault(".".join(parts[:depth]), set()).add(part)
    texts = dict.fromkeys(_path_of(leaf) for leaf in leaves if leaf.column.type == "text")
    objects = {path: frozenset(found) for path, found in keys.items()}
    return Form(json.dumps(tree), objects, maps, lists, tuple(texts))
