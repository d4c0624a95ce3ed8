"""What the tidy tables have of a document, and what of it they have nowhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from etl import columns
from etl.dictionary import kept, maps
from etl.flatten import from_parts

Row = dict[str, Any]
Change = tuple[str, str | None, Any]

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "full" / "page.json"
FULL = json.loads(GOLDEN.read_bytes())["instances"][0]
LIST = "spec.extend_storage"
# Of the columns that have the same field, the first: that of `instances`.
FIELDS = {leaf.pointer[1:].replace("/", "."): leaf for leaf in reversed(columns.leaves())}
ITEM_FIELDS = {leaf.pointer[1:].replace("/", "."): leaf for leaf in columns.item_leaves(LIST)}
KINDS_OF_MAPS = {each.field: (each.owner_kind, each.name) for each in maps()}
MAPS = {
    path: KINDS_OF_MAPS[path.removeprefix("queuing_info.")]
    if path not in KINDS_OF_MAPS
    else KINDS_OF_MAPS[path]
    for path in columns.map_paths()
}
OBJECTS = [
    path
    for part in ("", *columns.PARTS)
    for inside in columns.own_form(part).objects
    if (path := ".".join(filter(None, (part, inside))))
]
PLACES = sorted(
    {*FIELDS, *MAPS, *OBJECTS, LIST, f"{LIST}.0", *(f"{LIST}.1.{path}" for path in ITEM_FIELDS)} - {"id"}
)


def changed(changes: Sequence[Change]) -> Row:
    """A full document with these changes: what is put at a place, or under a name beside what is there."""
    full: Row = copy.deepcopy(FULL)
    for place, beside, value in changes:
        put(full, place.split("."), beside, value)
    return full


def put(holder: Any, path: list[str], beside: str | None, value: Any) -> None:
    """Replace the value at a path, or add a key to the object there; nothing where no path leads."""
    first, *rest = path
    name: Any = int(first) if isinstance(holder, list) and first.isdecimal() else first
    if isinstance(holder, list) and not (isinstance(name, int) and name < len(holder)):
        return
    if not isinstance(holder, dict | list):
        return
    if rest:
        if isinstance(holder, dict):
            holder.setdefault(name, {})
        put(holder[name], rest, beside, value)
    elif beside is not None and isinstance(holder, dict) and isinstance(holder.get(name), dict):
        holder[name][beside] = value
    else:
        holder[name] = value


@dataclass
class Kept:
    """What the tables have of one document."""

    rows: dict[str, list[Row]]

    def has_aside(self, path: str, value: Any) -> bool:
        """Whether the value is in quarantine, as it came."""
        return any(
            row["field"] == path and same(json.loads(row["document"]), value)
            for row in self.rows["quarantine"]
        )

    def has_extra(self, path: str, value: Any) -> bool:
        return any(
            row["path"] == path and same(json.loads(row["value"]), value) for row in self.rows["extras"]
        )

    def has_cell(self, leaf: columns.Leaf, value: Any, volume: int) -> bool:
        """Whether the column of the field has the value."""
        return any(
            says(row[leaf.column.name], leaf.column.type, value)
            for row in self.rows[leaf.table.name]
            if row.get("volume", volume) == volume
        )

    def has_attribute(self, kind: tuple[str, str], key: str, value: Any) -> bool:
        return any(
            (row["owner_kind"], row["map"], row["key"]) == (*kind, key) and says(row["value"], "text", value)
            for row in self.rows["attributes"]
        )


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True) or (
        isinstance(one, float) and one == other
    )


def parsed(text: str) -> Any:
    """What a text is in JSON; the text itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def says(cell: Any, kind: str, value: Any) -> bool:
    """Whether a cell of a kind of column says what a JSON value says."""
    if cell is None:
        return False
    if kind == "text":
        return cell == value if isinstance(value, str) else same(parsed(cell), value)
    if kind == "boolean":
        return bool(cell) is (
            value if isinstance(value, bool) else {"true": True, "false": False}[value.lower()]
        )
    if kind == "timestamp_ms":
        return round(cell.timestamp() * 1000) == int(float(value))
    if kind == "list":
        texts = [each for each in value if isinstance(each, str)]
        return all(each in cell for each in texts)
    if kind == "bytes":
        return isinstance(value, str)
    return bool(cell == int(value if isinstance(value, int) else str(value).partition(".")[0]))


def lost(value: Any, path: str, kept: Kept) -> Iterator[str]:
    """The places under an object at a path whose value is kept nowhere."""
    for key, inner in value.items():
        place = f"{path}.{key}" if path else key
        known = "." not in key and place in (*PLACES, "id")
        if inner in (None, "") or kept.has_aside(place, inner):
            continue
        if known and place in FIELDS:
            if inner != [] and not kept.has_cell(FIELDS[place], inner, 0):
                yield place
        elif known and place in MAPS and isinstance(inner, dict):
            for name, each in inner.items():
                aside = kept.has_aside(f"{place}.{name}", each)
                if each not in (None, "") and not aside and not kept.has_attribute(MAPS[place], name, each):
                    yield f"{place} {name}"
        elif known and place == LIST and isinstance(inner, list):
            yield from lost_items(inner, kept)
        elif known and place in OBJECTS and isinstance(inner, dict):
            yield from lost(inner, place, kept)
        elif known or not kept.has_extra(joined(path, key), inner):
            yield place


def lost_items(items: list[Any], kept: Kept) -> Iterator[str]:
    for position, item in enumerate(items):
        if item in (None, "") or kept.has_aside(f"{LIST}.{position}", item):
            continue
        yield from lost_in_item(item, "", position, kept)


def lost_in_item(value: Row, path: str, position: int, kept: Kept) -> Iterator[str]:
    for key, inner in value.items():
        inside = f"{path}.{key}" if path else key
        place = f"{LIST}.{position}.{inside}"
        if inner in (None, "") or kept.has_aside(place, inner):
            continue
        if "." not in key and inside == "location" and isinstance(inner, dict):
            yield from lost_in_item(inner, inside, position, kept)
        elif "." not in key and inside in ITEM_FIELDS:
            if inner != [] and not kept.has_cell(ITEM_FIELDS[inside], inner, position + 1):
                yield place
        elif not kept.has_extra(joined(f"{LIST}.{position}{'.' + path if path else ''}", key), inner):
            yield place


def joined(path: str, key: str) -> str:
    """The path of an unknown key: quoted where it could be taken for several."""
    shown = key if key and "." not in key and '"' not in key else json.dumps(key, ensure_ascii=False)
    return f"{path}.{shown}" if path else shown


def spread(connection: duckdb.DuckDBPyConnection) -> None:
    """Give each document that was added rows of its own from the parts that it shares with others."""
    carriers = "select document_id, unnest(parts) as part_id from documents"
    for table in from_parts():
        name = f"seen_{table.name}"
        connection.execute(
            f"insert into {name} by name select carried.document_id, seen.* exclude (document_id, part_id) "
            f"from {name} as seen join ({carriers}) as carried using (part_id); "
            f"delete from {name} where document_id is null"
        )


def missing(sent: Sequence[Row], found: dict[str, list[Row]]) -> list[str]:
    """The places of documents whose value none of the tidy relations has, given with `document_id`."""
    owners = {row["document_id"]: row["instance_id"] for row in found["instances"]}
    mine: dict[Any, dict[str, list[Row]]] = {
        each["id"]: {table.name: [] for table in kept()} for each in sent
    }
    for name, rows in found.items():
        for row in rows:
            mine[owners[row["document_id"]]][name].append(row)
    return [place for each in sent for place in lost(each, "", Kept(mine[each["id"]]))]
