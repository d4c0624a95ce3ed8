"""From the data dictionary to SQL: how each field of a document becomes a typed column."""

from __future__ import annotations

import json
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
    case when json_type(value) = 'ARRAY'
        then nullif(array_to_string(list_sort(list_distinct(from_json(value, '["VARCHAR"]'))), ','), '')
    end;
"""


@dataclass(frozen=True)
class Leaf:
    """A field of one document as SQL over a row `shaped` with columns `document` and `s`."""

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
    def unreadable(self) -> str:
        """The condition under which a value came and could not be read as the column's type."""
        return f"({self.raw} not in ('', 'null', '\"\"') and {self.name} is null)"


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
def list_leaves() -> tuple[Leaf, ...]:
    """The fields of objects that stand in a list, over a row with the object as `item`."""
    return tuple(
        Leaf(column, table, base, _json_value("item", _relative(column.field, table)), "")
        for table in kept()
        for base in table.bases
        if base.endswith("[]")
        for column in table.columns
        if column.field and _belongs(column, table)
    )


def shape() -> str:
    """The structure, for json_transform, of all that the dictionary reads from a document."""
    tree: dict[str, Any] = {}
    for path in [
        *map_paths(),
        *(_path(column.field, table, base) for table, column, base in _plain()),
    ]:
        _plant(tree, path.split("."))
    return json.dumps({**tree, "spec": {**tree["spec"], "extend_storage": "JSON"}})


@cache
def map_paths() -> tuple[str, ...]:
    """The paths of all maps, at every place where they occur."""
    fields = [each.field for each in maps()]
    also = [f"queuing_info.{field}" for field in fields if field.startswith("flavor_details.")]
    return (*fields, *also)


@cache
def known_keys() -> dict[str, frozenset[str]]:
    """For every object of the reference, by its path, the keys it may have; maps may have any."""
    keys: dict[str, set[str]] = {}
    paths = [*map_paths(), *(_path(column.field, table, base) for table, column, base in _plain())]
    for path in [*paths, "spec.extend_storage"]:
        inside = next((each for each in map_paths() if path.startswith(each + ".")), None)
        parts = (inside or path).split(".")
        for depth in range(len(parts)):
            keys.setdefault(".".join(parts[:depth]), set()).add(parts[depth])
    return {path: frozenset(found) for path, found in keys.items()}


@cache
def text_paths() -> tuple[str, ...]:
    """The paths of all fields that are text."""
    return tuple(
        dict.fromkeys(
            _path(column.field, table, base) for table, column, base in _plain() if column.type == "text"
        )
    )


def pointer(path: str) -> str:
    """The JSON pointer of a dotted path of the reference."""
    return "".join("/" + part for part in path.split(".")) if path else ""


def struct_value(path: str) -> str:
    """The expression of the value at a path of the shape."""
    return "s." + ".".join(f'"{part}"' for part in path.split("."))


def _plain() -> list[tuple[Table, Column, str]]:
    return [(leaf.table, leaf.column, leaf.base) for leaf in leaves()]


def _leaf(table: Table, column: Column, base: str) -> Leaf:
    path = _path(column.field, table, base)
    inside = next((each for each in map_paths() if path.startswith(each + ".")), None)
    if inside:
        value = f"({struct_value(inside)} ->> {quoted('$.' + json.dumps(path[len(inside) + 1 :]))})"
    else:
        value = struct_value(path) + ("::varchar" if column.type == "list" else "")
    return Leaf(column, table, base, value, pointer(path))


def _belongs(column: Column, table: Table) -> bool:
    """Whether the column's field is a field of the table's own object."""
    return column.field.startswith(table.bases[0] + ".")


def _relative(field: str, table: Table) -> str:
    return field[len(table.bases[0]) + 1 :]


def _path(field: str, table: Table, base: str) -> str:
    """The path of a field in the object at another base."""
    if not table.bases[0] or not field.startswith(table.bases[0] + "."):
        return field
    return f"{base}.{_relative(field, table)}"


def _json_value(source: str, path: str) -> str:
    return f"({source} ->> {quoted('/' + path.replace('.', '/'))})"


def _plant(tree: dict[str, Any], path: list[str]) -> None:
    """Put a leaf into the tree; what lies inside of a map is read from the map's own JSON."""
    *parents, leaf = path
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if isinstance(tree, str):
            return
    is_json = ".".join(path) in map_paths() or leaf == "storage_list"
    tree[leaf] = "JSON" if is_json else "VARCHAR"
