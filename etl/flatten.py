"""Flatten pages into tidy relations: documents in, typed rows out, and nothing dropped.

Pages are added in batches, so that no more of them is held than a batch. What a document says
beyond the reference becomes rows of `extras`; what cannot be used becomes rows of `quarantine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from etl import columns, oddities, sqlfiles
from etl.columns import Form, Leaf, quoted
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

_STAGING = """
create table documents (
    document_id bigint, slice bigint, page bigint, observed_at timestamptz, instance_id varchar,
    created_at timestamptz, updated_at timestamptz
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
    select nextval('document_ids') as document_id, 0 as item, null::varchar as place, *,
        json_transform(document, $shape) as s
    from unnested
)
select *,
    case when length(s.id) between 1 and {ID_LENGTH} and s.id[1] not in ('{{', '[')
        and s.id not in ('true', 'false') then s.id end as instance_id,
    json_type(document, $paths) as kinds,
    json_keys(document, $objects) as keys
from read
"""

# The objects in the list at one path, as documents of their own.
_ITEMS = """
create or replace temp table items as
with unnested as (
    select document_id, slice, page, observed_at, instance_id,
        generate_subscripts(items, 1) as item, unnest(items) as document
    from (
        select *, from_json($content, '["JSON"]') as items
        from typed where json_type($content) = 'ARRAY'
    )
)
select *, $list || '.' || (item - 1) as place,
    json_transform(document, $shape) as s,
    json_type(document, $paths) as kinds,
    json_keys(document, $objects) as keys
from unnested
where document is not null
"""

_DOCUMENTS = """
insert into documents
select document_id, slice, page, observed_at, instance_id, instances__created_at__0,
    instances__updated_at__0
from typed
union all
select document_id, slice, page, observed_at, null, timestamp_ms_of(s.creation_timestamp), null
from shaped where instance_id is null
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
        self.connection.execute(_formed(_SHAPED, columns.document_form()))
        self.connection.unregister("pages")
        oddities.set_aside(self.connection, columns.document_form(), "shaped")
        for statement in _from_documents():
            self.connection.execute(statement)
        for path in columns.LISTS:
            self._add_items(path)

    def clear(self) -> None:
        """Forget the pages that were added."""
        for name in ("documents", "seen_attributes", "seen_extras", "seen_quarantine"):
            self.connection.execute(f"delete from {name}")
        for table in _from_fields():
            self.connection.execute(f"delete from seen_{table.name}")

    def _add_items(self, path: str) -> None:
        """Flatten the objects in the lists at one path; most documents have none."""
        form = columns.item_form(path)
        statement = _ITEMS.replace("$content", _content(path)).replace("$list", quoted(path))
        self.connection.execute(_formed(statement, form))
        if self.connection.execute("select 1 from items limit 1").fetchone():
            oddities.set_aside(self.connection, form, "items")
            for statement in _from_items(path):
                self.connection.execute(statement)


def relations(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tidy relations `tidy_<table>` of all that was added, from sql/tidy."""
    for table in kept():
        connection.execute(
            f"create or replace temp view tidy_{table.name} as {sqlfiles.text('tidy', table.name)}"
        )


def _formed(statement: str, form: Form) -> str:
    """The statement with the shape and the paths of a form put in."""
    return (
        statement.replace("$shape", quoted(form.shape))
        .replace("$paths", str([_json_path(path) for path in form.kinds]))
        .replace("$objects", str([_json_path(path) for path in form.objects]))
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


def _from_documents() -> Iterator[str]:
    """The statements that spread the shaped documents over the staging relations."""
    yield oddities.UNUSABLE
    contents = [f"{columns.struct_value(path)} as {_content(path)}" for path in _contents()]
    yield _typed(
        "typed", "shaped", columns.leaves(), contents, [_twice(path) for path in columns.map_paths()]
    )
    yield oddities.unreadable("shaped", "typed")
    yield _DOCUMENTS
    for table in _from_fields():
        for base in table.bases:
            leaves = [leaf for leaf in columns.leaves() if (leaf.table, leaf.base) == (table, base)]
            if leaves:
                yield _from_object("typed", table, leaves)
    yield from _without_key()
    yield from (_from_map(path) for path in columns.map_paths())


def _from_items(path: str) -> Iterator[str]:
    """The statements that spread the shaped items of a list over the staging relations."""
    yield _typed("typed_items", "items", columns.item_leaves(path))
    yield oddities.unreadable("items", "typed_items")
    for table in dict.fromkeys(leaf.table for leaf in columns.item_leaves(path)):
        leaves = [leaf for leaf in columns.item_leaves(path) if leaf.table == table]
        yield _from_object("typed_items", table, leaves)


def _typed(
    name: str,
    relation: str,
    leaves: Sequence[Leaf],
    contents: Sequence[str] = (),
    more_faults: Sequence[str] = (),
) -> str:
    """The statement that types every field of a relation of shaped objects, and lists the faults."""
    texts = [leaf for leaf in leaves if leaf.column.type == "text"]
    others = [leaf for leaf in leaves if leaf.column.type != "text"]
    came = [f"{leaf.typed} as {leaf.name}" for leaf in texts]
    came += [f"{leaf.value} as {leaf.raw}" for leaf in others]
    read = [f"{leaf.typed_from_raw} as {leaf.name}" for leaf in others]
    faults = [*(leaf.fault for leaf in others), *more_faults]
    return (
        f"create or replace temp table {name} as with came as ("
        "select document_id, item, slice, page, observed_at, instance_id, "
        f"{', '.join([*came, *contents])} from {relation} where instance_id is not null), "
        f"read as (select *, {', '.join(read)} from came) "
        f"select *, list_filter([{', '.join(faults)}], lambda fault: fault is not null) as faults from read"
    )


def _contents() -> tuple[str, ...]:
    """The paths of what is spread over rows: the maps, and the lists of objects."""
    return (*columns.map_paths(), *columns.LISTS)


def _content(path: str) -> str:
    """The name of the staging column that holds the JSON at a path."""
    return "content__" + path.replace(".", "__")


def _twice(path: str) -> str:
    """The expression that says so where a map has a key twice."""
    keys = f"json_keys({_content(path)})"
    said = quoted(f"{columns.pointer(path)} a key twice")
    return f"case when len({keys}) > len(list_distinct({keys})) then {said} end"


def _from_object(typed: str, table: Table, leaves: Sequence[Leaf]) -> str:
    """Rows of a table from the objects at one place, where they say anything."""
    own = [leaf for leaf in leaves if not (table.owner == "instance" and leaf.column.name == "instance_id")]
    names = ", ".join(f"{leaf.name} as {leaf.column.name}" for leaf in own)
    known = [leaf.name for leaf in own if leaf.column.role == "key"] or [leaf.name for leaf in own]
    # An instance is one by its id alone.
    said = "true" if table.name == "instances" else _any_of(known)
    return (
        f"insert into seen_{table.name} by name select document_id, item, instance_id, {names} "
        f"from {typed} where {said}"
    )


def _without_key() -> Iterator[str]:
    """Set aside objects that several instances share, where they say something but not what they are."""
    keys = [leaf for leaf in columns.leaves() if leaf.table.owner == "shared" and leaf.column.role == "key"]
    for pointer, key in {leaf.pointer.rpartition("/")[0]: leaf for leaf in keys}.items():
        path = pointer[1:].replace("/", ".")
        inside = [leaf for leaf in columns.leaves() if leaf.pointer.startswith(pointer + "/")]
        others = [leaf.name for leaf in inside if leaf.pointer != key.pointer]
        said = [_any_of(others)] if others else []
        said += [
            f"(json_type({content}) = 'OBJECT' and {content}::varchar <> '{{}}')"
            for content in (_content(each) for each in columns.map_paths() if each.startswith(path + "."))
        ]
        if said:
            yield (
                "insert into seen_quarantine select document_id, instance_id, "
                f"{quoted(path)}, md5(value), 'no usable id', value, slice, page from ("
                f"select shaped.*, json_extract(document, {quoted(pointer)})::varchar as value "
                f"from typed join shaped using (document_id) "
                f"where {key.name} is null and ({' or '.join(said)}))"
            )


def _any_of(names: Sequence[str]) -> str:
    """The condition that one of the columns has a value."""
    return f"coalesce({', '.join(f'{name}::varchar' for name in names)}) is not null"


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
