"""Flatten pages into tidy relations: documents in, typed rows out, and nothing dropped.

Pages are added in batches, so that no more of them is held than a batch. What a document says
beyond the reference becomes rows of `extras`; what cannot be used becomes rows of `quarantine`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from etl import columns, sqlfiles
from etl.columns import Leaf, quoted
from etl.dictionary import Table, kept, maps
from etl.page import ID_LENGTH
from etl.raw import RawPage

_PAGES = pa.schema(
    [
        ("slice", pa.int64()),
        ("page", pa.int64()),
        ("observed_at", pa.timestamp("us", tz="UTC")),
        ("repaired", pa.string()),
        ("body", pa.large_string()),
    ]
)

_STRANGE_SCHEMA = pa.schema(
    [
        ("example", pa.int64()),
        ("pointer", pa.string()),
        ("kind", pa.string()),
        ("patch", pa.string()),
    ]
)

_STAGING = """
create table documents (
    document_id bigint, slice bigint, page bigint, observed_at timestamptz, instance_id varchar,
    updated_at timestamptz
);
create table seen_attributes (
    document_id bigint, owner_kind varchar, owner_id varchar, map varchar, key varchar, value varchar
);
create table seen_extras (document_id bigint, instance_id varchar, path varchar, value varchar);
create table seen_quarantine (
    document_id bigint, instance_id varchar, field varchar, fingerprint varchar, reason varchar,
    document varchar, slice bigint, page bigint
);
create sequence document_ids;
"""

_SHAPED = f"""
create or replace temp table shaped as
with unnested as (
    select slice, page, observed_at, repaired,
        unnest(from_json(body, '{{"instances":["JSON"]}}').instances) as document
    from pages
),
read as (
    select nextval('document_ids') as document_id, *, json_transform(document, $shape) as s
    from unnested
)
select *,
    case when length(s.id) between 1 and {ID_LENGTH} and s.id[1] not in ('{{', '[')
        then s.id end as instance_id,
    json_type(document, $paths) as kinds,
    json_keys(document, $objects) as keys
from read
"""

_UNUSABLE = """
insert into seen_quarantine
select document_id, instance_id, null, md5(document), reason, document, slice, page
from (
    select *, case
        when json_type(document) is distinct from 'OBJECT'
            then 'not an object but ' || coalesce(json_type(document), 'nothing')
        when instance_id is null then 'no usable id'
        when repaired <> '' and contains(document, chr(65533)) then repaired || ' replaced'
    end as reason
    from shaped
)
where reason is not null
"""

_DOCUMENTS = """
insert into documents
select document_id, slice, page, observed_at, instance_id, instances__updated_at__0 from typed
union all
select document_id, slice, page, observed_at, null, null from shaped where instance_id is null
"""

_UNREADABLE = """
insert into seen_quarantine
with unreadable as (
    select distinct document_id, unnest(unreadable) as pointer from typed where len(unreadable) > 0
),
valued as (
    select shaped.*, pointer, json_extract(document, pointer)::varchar as value
    from unreadable join shaped using (document_id)
)
select document_id, instance_id, replace(pointer[2:], '/', '.') as field, md5(value),
    'wrong type: ' || json_type(value), value, slice, page
from valued
"""

_STRANGE = """
create or replace temp table unlike as
select shaped.document_id, shaped.instance_id, shaped.slice, shaped.page, strange.kind,
    strange.pointer, strange.patch, json_extract(shaped.document, strange.pointer)::varchar as value
from strange
join shaped as example on example.document_id = strange.example
join shaped
    on shaped.kinds is not distinct from example.kinds and shaped.keys is not distinct from example.keys
where shaped.instance_id is not null;
insert into seen_extras
select document_id, instance_id, replace(pointer[2:], '/', '.'), value
from unlike where kind = 'unknown' and value not in ('null', '""');
insert into seen_quarantine
select document_id, instance_id, replace(pointer[2:], '/', '.'), md5(value),
    'wrong type: ' || kind, value, slice, page
from unlike where kind <> 'unknown' and value <> '""';
update shaped set s = json_transform(json_merge_patch(document, patch), $shape)
from (select distinct document_id, patch from unlike where patch is not null) as patches
where shaped.document_id = patches.document_id;
"""


class Staging:
    """An in-memory database in which the pages of one sweep become tidy relations."""

    def __init__(self, memory: str = "1GB", spill: str | None = None) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("set preserve_insertion_order = false")
        self.connection.execute(f"set memory_limit = {quoted(memory)}")
        if spill:
            self.connection.execute(f"set temp_directory = {quoted(spill)}")
        self.connection.execute(columns.MACROS)
        self.connection.execute(_STAGING)
        for table in _from_fields():
            self.connection.execute(_seen_table(table))

    def add(self, pages: Sequence[RawPage]) -> None:
        """Flatten a batch of pages into the staging relations."""
        rows = [(p.slice, p.number, p.page.observed_at, p.page.repaired, p.page.body) for p in pages]
        arrays = [
            pa.array(list(values), field.type)
            for values, field in zip(zip(*rows, strict=True), _PAGES, strict=True)
        ]
        self.connection.register("pages", pa.Table.from_arrays(arrays, schema=_PAGES))
        self.connection.execute(_with_dictionary(_SHAPED))
        self.connection.unregister("pages")
        self._set_aside_strange()
        self.connection.execute(_UNUSABLE)
        self.connection.execute(_typed())
        for statement in _inserts():
            self.connection.execute(statement)

    def _set_aside_strange(self) -> None:
        """Move what the reference does not have to extras, and what is not of its kind to quarantine.

        Documents share few combinations of keys and kinds, so each combination is judged once.
        """
        found = self.connection.execute(
            "select kinds, keys, min(document_id) from shaped where instance_id is not null group by all"
        ).fetchall()
        rows = [
            {"example": example, **each} for kinds, keys, example in found for each in _strange(kinds, keys)
        ]
        if rows:
            self.connection.register("strange", pa.Table.from_pylist(rows, schema=_STRANGE_SCHEMA))
            self.connection.execute(_with_dictionary(_STRANGE))
            self.connection.unregister("strange")


def relations(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tidy relations `tidy_<table>` of all that was added, from sql/tidy."""
    for table in kept():
        connection.execute(
            f"create or replace temp view tidy_{table.name} as {sqlfiles.text('tidy', table.name)}"
        )


def _strange(
    kinds: Sequence[str | None], keys: Sequence[Sequence[str] | None]
) -> Iterable[dict[str, str | None]]:
    """What one combination of kinds and keys has that the reference has not: pointer, kind, patch."""
    objects = columns.known_keys()
    wrong_text = []
    for path, kind in zip((*objects, *columns.text_paths()), kinds, strict=True):
        if kind in (None, "NULL") or (kind == "OBJECT" and path in objects):
            continue
        if path in objects:
            yield {"pointer": columns.pointer(path), "kind": kind}
        elif kind in ("OBJECT", "ARRAY", "BOOLEAN") and path != "id":
            wrong_text.append(path)
            yield {"pointer": columns.pointer(path), "kind": kind, "patch": _without(wrong_text)}
    for (path, known), present in zip(objects.items(), keys, strict=True):
        for key in set(present or ()) - known:
            escaped = key.replace("~", "~0").replace("/", "~1")
            yield {"pointer": f"{columns.pointer(path)}/{escaped}", "kind": "unknown"}


def _without(paths: Iterable[str]) -> str:
    """The merge patch that takes the fields away."""
    patch: dict[str, Any] = {}
    for path in paths:
        *parents, leaf = path.split(".")
        inner = patch
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = None
    return json.dumps(patch)


def _with_dictionary(statement: str) -> str:
    """The statement with the shape and the paths of the dictionary put in."""
    objects = [_json_path(path) for path in columns.known_keys()]
    texts = [_json_path(path) for path in columns.text_paths()]
    return (
        statement.replace("$shape", quoted(columns.shape()))
        .replace("$paths", str(objects + texts))
        .replace("$objects", str(objects))
    )


def _json_path(path: str) -> str:
    return "$" + "".join(f".{part}" for part in path.split(".") if part)


def _from_fields() -> list[Table]:
    """The tables whose rows come from fields, and not from maps, leftovers or faults."""
    return [table for table in kept() if any(column.field for column in table.columns)]


def _seen_table(table: Table) -> str:
    fields = [f"{column.name} {column.sql_type}" for column in table.columns if column.field]
    lead = [] if "instance_id" in table.keys else ["instance_id varchar"]
    return f"create table seen_{table.name} (document_id bigint, item bigint, {', '.join(lead + fields)})"


def _typed() -> str:
    """The statement that types every field of every usable document."""
    texts = [leaf for leaf in columns.leaves() if leaf.column.type == "text"]
    others = [leaf for leaf in columns.leaves() if leaf.column.type != "text"]
    contents = [f"{columns.struct_value(path)} as {_content(path)}" for path in _json_paths()]
    came = [f"{leaf.typed} as {leaf.name}" for leaf in texts]
    came += [f"{leaf.value} as {leaf.raw}" for leaf in others]
    read = [f"{leaf.typed_from_raw} as {leaf.name}" for leaf in others]
    wrong = [f"case when {leaf.unreadable} then {quoted(leaf.pointer)} end" for leaf in others]
    return (
        "create or replace temp table typed as with came as ("
        f"select document_id, slice, page, observed_at, instance_id, {', '.join(came + contents)} "
        f"from shaped where instance_id is not null), read as (select *, {', '.join(read)} from came) "
        f"select *, list_filter([{', '.join(wrong)}], lambda pointer: pointer is not null) as unreadable "
        "from read"
    )


def _json_paths() -> tuple[str, ...]:
    """The paths of what is spread over rows: the maps, and the lists of objects."""
    return (*columns.map_paths(), "spec.extend_storage")


def _content(path: str) -> str:
    """The name of the staging column that holds the JSON at a path."""
    return "content__" + path.replace(".", "__")


def _inserts() -> Iterable[str]:
    """The statements that spread the typed fields over the staging relations."""
    yield _UNREADABLE
    yield _DOCUMENTS
    for table in _from_fields():
        for base in table.bases:
            if base.endswith("[]"):
                yield from _from_list(table, base)
            else:
                yield _from_object(
                    table,
                    [leaf for leaf in columns.leaves() if (leaf.table, leaf.base) == (table, base)],
                )
        if table.owner == "shared":
            yield from _without_key(table)
    yield from (_from_map(path) for path in columns.map_paths())


def _from_object(table: Table, leaves: Sequence[Leaf]) -> str:
    """Rows of a table from the object at one base, where it says anything."""
    own = [leaf for leaf in leaves if not (table.owner == "instance" and leaf.column.name == "instance_id")]
    names = ", ".join(f"{leaf.name} as {leaf.column.name}" for leaf in own)
    known = [leaf.name for leaf in own if leaf.column.role == "key"] or [leaf.name for leaf in own]
    return (
        f"insert into seen_{table.name} by name select document_id, 0 as item, instance_id, {names} "
        f"from typed where coalesce({', '.join(f'{name}::varchar' for name in known)}) is not null"
    )


def _without_key(table: Table) -> Iterable[str]:
    """Set aside objects that say something but not what they are."""
    if table.name in ("provisions", "billing", "flavor_availability"):
        return  # the same object as of profiles and flavors
    for base in table.bases:
        leaves = [leaf for leaf in columns.leaves() if (leaf.table, leaf.base) == (table, base)]
        key = next(leaf for leaf in leaves if leaf.column.role == "key")
        others = [f"{leaf.name}::varchar" for leaf in leaves if leaf.column.role != "key"]
        path = key.pointer.rpartition("/")[0]
        if others:
            yield (
                "insert into seen_quarantine select document_id, instance_id, "
                f"{quoted(path[1:].replace('/', '.'))}, md5(value), 'no usable id', value, slice, page from ("
                f"select shaped.*, json_extract(document, {quoted(path)})::varchar as value "
                f"from typed join shaped using (document_id) "
                f"where {key.name} is null and coalesce({', '.join(others)}) is not null)"
            )


def _from_list(table: Table, base: str) -> Iterable[str]:
    """Rows of a table from the objects in a list."""
    path = base.removesuffix("[]")
    value = _content(path)
    leaves = [leaf for leaf in columns.list_leaves() if leaf.base == base]
    typed = ", ".join(f"{leaf.typed} as {leaf.column.name}" for leaf in leaves)
    yield (
        f"insert into seen_{table.name} by name "
        f"select document_id, position as item, instance_id, {typed} from ("
        "select *, generate_subscripts(items, 1) as position, unnest(items) as item from ("
        f"select *, from_json({value}, '[\"JSON\"]') as items from typed where json_type({value}) = 'ARRAY'))"
    )
    yield (
        "insert into seen_quarantine select document_id, instance_id, "
        f"{quoted(path)}, md5({value}), 'wrong type: ' || json_type({value}), {value}, slice, page "
        f"from typed where json_type({value}) not in ('ARRAY', 'NULL') and {value} <> '\"\"'"
    )


def _from_map(path: str) -> str:
    """Rows of `attributes` from one map."""
    field = path.removeprefix("queuing_info.") if path.startswith("queuing_info.flavor_details.") else path
    found = next(each for each in maps() if each.field == field)
    owner = {
        "profile": "profiles__profile_id__0",
        "provision": "profiles__profile_id__0",
        "flavor": f"flavors__flavor__{int(field != path)}",
    }.get(found.owner_kind, "instance_id")
    value = _content(path)
    escaped = "replace(replace(key, '~', '~0'), '/', '~1')"
    return (
        "insert into seen_attributes "
        f"select document_id, {quoted(found.owner_kind)}, owner_id, {quoted(found.name)}, key, "
        f"nullif(content ->> ('/' || {escaped}), '') from ("
        f"select document_id, {owner} as owner_id, {value} as content, unnest(json_keys({value})) as key "
        f"from typed where json_type({value}) = 'OBJECT' and {owner} is not null)"
    )
