"""Spread documents over the staging tables in SQL: whatever they say, and however oddly.

What a document says beyond the reference becomes rows of `extras`; what cannot be used becomes rows of
`quarantine`. Plain documents have a way of their own, etl.plain, which takes a quarter of the time.

Half of a document is what it has in common with others: its profile, and its flavor. Such a part
is read once a batch, however many documents have it. Its rows stand for the newest of those documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb

from etl import columns, oddities
from etl.columns import Form, Leaf, quoted
from etl.dictionary import Table
from etl.page import ID_LENGTH

_SHAPED = f"""
create or replace temp table shaped as
with opened as (
    select *, from_json(body, '{{"instances":["JSON"]}}').instances as documents from pages
),
unnested as (
    select slice, page, observed_at, repaired,
        first_id + generate_subscripts(documents, 1) - 1 as document_id, unnest(documents) as document
    from opened
),
read as (
    select 0 as item, null::varchar as place, *, json_transform(document, $shape) as s
    from unnested
)
select *,
    case when length(s.id) between 1 and {ID_LENGTH} and s.id[1] not in ('{{', '[')
        and s.id not in ('true', 'false') then s.id end as instance_id,
    hash(json_type(document, $paths), json_keys(document, $objects)) as build
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
    hash(json_type(document, $paths), json_keys(document, $objects)) as build
from unnested
where document is not null
"""

# The objects that are one part of the documents, each once, and every document with its own.
_PARTS = """
create or replace temp table part_$part as
select nextval('part_ids') as part_id, 0 as item, *,
    json_transform(document, $shape) as s,
    hash(json_type(document, $paths), json_keys(document, $objects)) as build
from (select distinct s.$part as document from shaped where instance_id is not null)
where json_type(document) = 'OBJECT';
create or replace temp view carried_$part as
select part_id, part.item, shaped.document_id, instance_id, slice, page, '$part' as place, part.document,
    part.build
from shaped join part_$part as part on shaped.s.$part = part.document
where instance_id is not null
"""

_DOCUMENTS = """
insert into documents
select document_id, slice, page, observed_at, instance_id, instances__created_at__0,
    instances__updated_at__0, parts
from typed
union all
select document_id, slice, page, observed_at, null, timestamp_ms_of(s.creation_timestamp), null, []
from shaped where instance_id is null
"""


def spread(connection: duckdb.DuckDBPyConnection) -> None:
    """Read the documents of `pages`, whose ids go up from the `first_id` of each page."""
    connection.execute(_formed(_SHAPED, columns.own_form()))
    usable = "(from shaped where instance_id is not null)"
    oddities.set_aside(connection, columns.own_form(), "shaped", usable)
    for part in columns.PARTS:
        _add_parts(connection, part)
    for statement in _from_documents():
        connection.execute(statement)
    for path in columns.LISTS:
        _add_items(connection, path)
    for name in _passing():
        connection.execute(f"drop table if exists {name}")


def _add_parts(connection: duckdb.DuckDBPyConnection, part: str) -> None:
    """Spread the objects that are one part of the documents."""
    form = columns.own_form(part)
    connection.execute(_formed(_PARTS.replace("$part", part), form))
    oddities.set_aside(connection, form, f"part_{part}", f"carried_{part}")
    for statement in _from_parts(part):
        connection.execute(statement)


def _add_items(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Spread the objects in the lists at one path; most documents have none."""
    form = columns.item_form(path)
    statement = _ITEMS.replace("$content", _content(path)).replace("$list", quoted(path))
    connection.execute(_formed(statement, form))
    if connection.execute("select 1 from items limit 1").fetchone():
        oddities.set_aside(connection, form, "items", "items")
        for statement in _from_items(path):
            connection.execute(statement)


def _formed(statement: str, form: Form) -> str:
    """The statement with the shape and the paths of a form put in."""
    return (
        statement.replace("$shape", quoted(form.shape))
        .replace("$paths", columns.json_paths(form.kinds))
        .replace("$objects", columns.json_paths(form.objects))
    )


def _passing() -> list[str]:
    """The relations of a batch of pages that nobody needs after it."""
    parts = [f"{kind}_{part}" for kind in ("part", "typed") for part in columns.PARTS]
    return ["shaped", "typed", *parts, "items", "typed_items", "unlike"]


def _from_parts(part: str) -> Iterator[str]:
    """The statements that spread the objects of one part over the staging relations."""
    typed, carried = f"typed_{part}", f"carried_{part}"
    leaves, maps = columns.own_leaves(part), columns.own_maps(part)
    yield _typed(typed, f"part_{part}", ["part_id", "item", "document"], leaves, maps)
    yield oddities.unreadable(typed, carried, "part_id")
    for table in dict.fromkeys(leaf.table for leaf in leaves if leaf.table.owner == "shared"):
        yield _from_object(typed, "part_id", table, [leaf for leaf in leaves if leaf.table == table])
    yield from _without_key(typed, "part_id", carried, part)
    for path in maps:
        yield _from_map(typed, "part_id", path, part)


def _from_documents() -> Iterator[str]:
    """The statements that spread the shaped documents over the staging relations."""
    yield oddities.UNUSABLE
    lent = [leaf for part in columns.PARTS for leaf in _lent(part)]
    head = ["document_id", "item", "slice", "page", "observed_at", "instance_id", "parts"]
    contents = (*columns.own_maps(), *columns.LISTS)
    yield _typed(
        "typed", _with_parts(), [*head, *(leaf.name for leaf in lent)], columns.own_leaves(), contents
    )
    yield oddities.unreadable("typed", "shaped")
    yield _DOCUMENTS
    leaves = [*columns.own_leaves(), *lent]
    for table, base in dict.fromkeys((leaf.table, leaf.base) for leaf in leaves):
        own = [leaf for leaf in leaves if (leaf.table, leaf.base) == (table, base)]
        yield _from_object("typed", "document_id", table, own)
    yield from _without_key("typed", "document_id", "shaped")
    for path in columns.own_maps():
        yield _from_map("typed", "document_id", path)


def _with_parts() -> str:
    """The usable documents, each with the fields of its parts that say something of an instance."""
    lent = [f"typed_{part}.{leaf.name}" for part in columns.PARTS for leaf in _lent(part)]
    ids = ", ".join(f"typed_{part}.part_id" for part in columns.PARTS)
    joins = [f"left join typed_{part} on shaped.s.{part} = typed_{part}.document" for part in columns.PARTS]
    return (
        f"(select shaped.*, {', '.join(lent)}, "
        f"list_filter([{ids}], lambda part_id: part_id is not null) as parts "
        f"from shaped {' '.join(joins)} where shaped.instance_id is not null)"
    )


def _lent(part: str) -> list[Leaf]:
    """The fields of a part that are columns of an instance."""
    return [leaf for leaf in columns.own_leaves(part) if leaf.table.owner == "instance"]


def _from_items(path: str) -> Iterator[str]:
    """The statements that spread the shaped items of a list over the staging relations."""
    leaves = columns.item_leaves(path)
    yield _typed("typed_items", "items", ["document_id", "item", "instance_id"], leaves)
    yield oddities.unreadable("typed_items", "items", "document_id")
    for table in dict.fromkeys(leaf.table for leaf in leaves):
        yield _from_object(
            "typed_items", "document_id", table, [leaf for leaf in leaves if leaf.table == table]
        )


def _typed(
    name: str, relation: str, head: Sequence[str], leaves: Sequence[Leaf], contents: Sequence[str] = ()
) -> str:
    """The statement that types every field of a relation of shaped objects, and lists the faults.

    `contents` are the paths of what is spread over rows: the maps, and the lists of objects.
    """
    texts = [leaf for leaf in leaves if leaf.column.type == "text"]
    others = [leaf for leaf in leaves if leaf.column.type != "text"]
    came = [f"{leaf.typed} as {leaf.name}" for leaf in texts]
    came += [f"{leaf.value} as {leaf.raw}" for leaf in others]
    came += [f"{columns.struct_value(path)} as {_content(path)}" for path in contents]
    read = ["*", *(f"{leaf.typed_from_raw} as {leaf.name}" for leaf in others)]
    faults = [leaf.fault for leaf in others]
    faults += [_twice(path) for path in contents if path not in columns.LISTS]
    return (
        f"create or replace temp table {name} as with came as (select {', '.join([*head, *came])} "
        f"from {relation}), read as (select {', '.join(read)} from came) "
        f"select *, list_filter([{', '.join(faults)}]::varchar[], lambda fault: fault is not null) as faults "
        "from read"
    )


def _content(path: str) -> str:
    """The name of the staging column that holds the JSON at a path."""
    return "content__" + path.replace(".", "__")


def _twice(path: str) -> str:
    """The expression that says so where a map has a key twice."""
    keys = f"json_keys({_content(path)})"
    said = quoted(f"{columns.pointer(path)} a key twice")
    return f"case when len({keys}) > len(list_distinct({keys})) then {said} end"


def _from_object(typed: str, key: str, table: Table, leaves: Sequence[Leaf]) -> str:
    """Rows of a table from the objects at one place, where they say anything."""
    own = [leaf for leaf in leaves if not (table.owner == "instance" and leaf.column.name == "instance_id")]
    names = [f"{leaf.name} as {leaf.column.name}" for leaf in own]
    known = [leaf.name for leaf in own if leaf.column.role == "key"] or [leaf.name for leaf in own]
    # An instance is one by its id alone.
    said = "true" if table.name == "instances" else _any_of(known)
    owner = ["instance_id"] if table.owner == "instance" else []
    return (
        f"insert into seen_{table.name} by name select {', '.join([key, 'item', *owner, *names])} "
        f"from {typed} where {said}"
    )


def _without_key(typed: str, key: str, carried: str, part: str = "") -> Iterator[str]:
    """Set aside objects that several instances share, where they say something but not what they are."""
    own = columns.own_leaves(part)
    for pointer, name in columns.shared_keys(own).items():
        path = columns.dotted(pointer)
        others = [
            leaf.name
            for leaf in own
            if leaf.pointer.startswith(pointer + "/") and leaf.pointer != name.pointer
        ]
        said = [_any_of(others)] if others else []
        said += [
            f"(json_type({content}) = 'OBJECT' and {content}::varchar <> '{{}}')"
            for content in (_content(each) for each in columns.own_maps(part) if each.startswith(path))
        ]
        if said:
            yield (
                "insert into seen_quarantine select document_id, instance_id, "
                f"{quoted(part or path)}, md5(value), 'no usable id', value, slice, page from ("
                f"select here.*, json_extract(document, {quoted(pointer)})::varchar as value "
                f"from {carried} as here where {key} in ("
                f"select {key} from {typed} where {name.name} is null and ({' or '.join(said)})))"
            )


def _any_of(names: Sequence[str]) -> str:
    """The condition that one of the columns has a value."""
    return f"coalesce({', '.join(f'{name}::varchar' for name in names)}) is not null"


def _from_map(typed: str, key: str, path: str, part: str = "") -> str:
    """Rows of `attributes` from the map at a path of a document, or of a part of it."""
    found, owner = columns.map_at(path, part)
    value = _content(path)
    escaped = "replace(replace(key, '~', '~0'), '/', '~1')"
    return (
        f"insert into seen_attributes by name select {key}, {quoted(found.owner_kind)} as owner_kind, "
        f"owner_id, {quoted(found.name)} as map, key, nullif(content ->> ('/' || {escaped}), '') as value "
        "from ("
        f"select {key}, {owner} as owner_id, {value} as content, unnest(json_keys({value})) as key "
        f"from {typed} where json_type({value}) = 'OBJECT' and {owner} is not null)"
    )
