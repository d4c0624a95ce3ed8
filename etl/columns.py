"""From the data dictionary to SQL: how each field of a document becomes a typed column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from etl.dictionary import Column, Map, Table, kept, maps

# Each macro gives null for what it cannot read. Text needs none: the kinds of the values, which are
# looked at for each document, tell text from what is none.
# The bytes of each unit of a size.
UNITS = {
    "B": 1,
    **{f"{letter}B": 1000 ** (number + 1) for number, letter in enumerate("KMGT")},
    **{f"{letter}IB": 1024 ** (number + 1) for number, letter in enumerate("KMGT")},
}

_MACROS = r"""
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
    case upper(unit) $units end::bigint;
create or replace macro bytes_of(value) as
    try_cast(round(
        try_cast(regexp_extract(value, '^([0-9]+(\.[0-9]+)?) *([A-Za-z]+)$', 1) as decimal(18, 6))
        * unit_bytes(regexp_extract(value, '^([0-9]+(\.[0-9]+)?) *([A-Za-z]+)$', 3))) as bigint);
create or replace macro list_of(value) as
    case when json_type(value) = 'ARRAY' and not list_has_any(json_type(value, '$[*]'), ['ARRAY', 'OBJECT'])
        then nullif(array_to_string(list_sort(list_distinct(from_json(value, '["VARCHAR"]'))), ','), '')
    end;
"""
MACROS = _MACROS.replace("$units", " ".join(f"when '{unit}' then {size}" for unit, size in UNITS.items()))


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

# The objects of a document that many documents have letter by letter: each is read once.
PARTS = ("profile", "flavor_details")


@dataclass(frozen=True)
class Leaf:
    """A field of one object as SQL over a row that holds the object's values as `s`."""

    column: Column
    table: Table
    base: str
    value: str
    pointer: str

    @property
    def path(self) -> str:
        """The dotted path that the pointer is."""
        return dotted(self.pointer)

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

    `shape` is its structure for json_transform. Of the objects at `parts` the keys are not its concern.
    """

    shape: str
    objects: Mapping[str, frozenset[str]]
    maps: tuple[str, ...]
    lists: tuple[str, ...]
    parts: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def kinds(self) -> dict[str, str]:
        """The JSON type that stands at each path; OTHER is whatever can be read as text."""
        objects = dict.fromkeys((*self.objects, *self.maps, *self.parts), "OBJECT")
        return {**objects, **dict.fromkeys(self.lists, "ARRAY"), **dict.fromkeys(self.texts, "OTHER")}


def quoted(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


@cache
def leaves() -> tuple[Leaf, ...]:
    """Every field of the dictionary, once for each object that it occurs in, as of the document."""
    return tuple(
        _leaf(table, column, base, "")
        for table in kept()
        for base in table.bases
        if not base.endswith("[]")
        for column in table.columns
        if column.field
    )


@cache
def own_leaves(part: str = "") -> tuple[Leaf, ...]:
    """The fields of a document itself, or of the object that is this part of it."""
    return tuple(
        _leaf(leaf.table, leaf.column, leaf.base, part) for leaf in leaves() if _part_of(leaf.path) == part
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
def own_form(part: str = "") -> Form:
    """What a document may hold, or the object that is this part of it."""
    return _form(own_leaves(part), own_maps(part), () if part else LISTS, () if part else PARTS)


@cache
def item_form(path: str) -> Form:
    """What an object in the list at a path may hold."""
    return _form(item_leaves(path), (), (), ())


@cache
def own_maps(part: str = "") -> tuple[str, ...]:
    """The paths, inside of it, of the maps of a document itself, or of this part of it."""
    return tuple(_inside(path, part) for path in map_paths() if _part_of(path) == part)


@cache
def map_paths() -> tuple[str, ...]:
    """The paths of all maps, at every place where they occur."""
    fields = [each.field for each in maps()]
    also = [f"queuing_info.{field}" for field in fields if field.startswith("flavor_details.")]
    return (*fields, *also)


def pointer(path: str) -> str:
    """The JSON pointer of a dotted path of the reference."""
    return "".join("/" + part for part in path.split(".")) if path else ""


def joined(path: str, key: str) -> str:
    """The path of a key, which is quoted where it could be taken for a path itself."""
    plain = key and "." not in key and '"' not in key
    return ".".join(filter(None, (path, key if plain else json.dumps(key, ensure_ascii=False))))


def shared_keys(leaves: Sequence[Leaf]) -> dict[str, Leaf]:
    """The pointers of objects that several instances share, each with the field that is its key."""
    keys = [leaf for leaf in leaves if leaf.table.owner == "shared" and leaf.column.role == "key"]
    return {leaf.pointer.rpartition("/")[0]: leaf for leaf in keys}


def map_at(path: str, part: str = "") -> tuple[Map, str]:
    """The map at a path of a document, or of this part of it, and the staging column of its owner's id."""
    field = f"{part}.{path}" if part else path.removeprefix("queuing_info.")
    found = next(each for each in maps() if each.field == field)
    owners = {
        "profile": "profiles__profile_id__0",
        "provision": "profiles__profile_id__0",
        "flavor": f"flavors__flavor__{0 if part else 1}",
    }
    return found, owners.get(found.owner_kind, "instance_id")


def dotted(pointer: str) -> str:
    """The dotted path that a JSON pointer is."""
    return pointer[1:].replace("/", ".")


def json_paths(paths: Iterable[str]) -> str:
    """The SQL list of the JSON paths of dotted ones."""
    return str(["$" + "".join(f".{part}" for part in path.split(".") if part) for path in paths])


def struct_value(path: str) -> str:
    """The expression of the value at a path of the shape."""
    return "s." + ".".join(f'"{part}"' for part in path.split("."))


def _leaf(table: Table, column: Column, base: str, part: str) -> Leaf:
    path = _path(column.field, table, base)
    around = _map_around(path)
    if around:
        inside = quoted("$." + json.dumps(path[len(around) + 1 :]))
        value = f"({struct_value(_inside(around, part))} ->> {inside})"
    else:
        value = struct_value(_inside(path, part)) + ("::varchar" if column.type == "list" else "")
    return Leaf(column, table, base, value, pointer(_inside(path, part)))


def _part_of(path: str) -> str:
    """The part of a document that a path leads into; empty where it leads into none."""
    first, _, rest = path.partition(".")
    return first if rest and first in PARTS else ""


def _inside(path: str, part: str) -> str:
    """The path as seen from the object that is this part of a document."""
    return path[len(part) + 1 :] if part else path


def _item_pointer(column: Column, table: Table) -> str:
    return pointer(_relative(column.field, table))


def _relative(field: str, table: Table) -> str:
    return field[len(table.bases[0]) + 1 :]


def _path(field: str, table: Table, base: str) -> str:
    """The path of a field in the object at another base."""
    if not table.bases[0] or not field.startswith(table.bases[0] + "."):
        return field
    return f"{base}.{_relative(field, table)}"


def _map_around(path: str, maps: Sequence[str] | None = None) -> str | None:
    """The map that a path leads into, of these or of all."""
    known = map_paths() if maps is None else maps
    return next((each for each in known if path.startswith(each + ".")), None)


def _form(
    leaves: Sequence[Leaf], maps: tuple[str, ...], lists: tuple[str, ...], parts: tuple[str, ...]
) -> Form:
    """The form of an object with these fields; what lies inside of a map is the map's own."""
    kinds = {leaf.path: "JSON" if leaf.column.type == "list" else "VARCHAR" for leaf in leaves}
    kinds = {path: kind for path, kind in kinds.items() if not _map_around(path, maps)}
    tree: dict[str, Any] = {}
    keys: dict[str, set[str]] = {}
    for path, kind in {**kinds, **dict.fromkeys((*maps, *lists, *parts), "JSON")}.items():
        names = path.split(".")
        inner = tree
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
        inner[names[-1]] = kind
        for depth, name in enumerate(names):
            keys.setdefault(".".join(names[:depth]), set()).add(name)
    texts = dict.fromkeys(leaf.path for leaf in leaves if leaf.column.type == "text")
    objects = {path: frozenset(found) for path, found in keys.items()}
    return Form(json.dumps(tree), objects, maps, lists, parts, tuple(texts))
