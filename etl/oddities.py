"""What a document has that the reference does not foresee: set aside, so that nothing is lost.

What the reference does not know goes to extras; what is not of the kind that it should be goes to
quarantine, and the rest of the document stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow as pa

from etl import columns
from etl.columns import Form, quoted

_STRANGE = pa.schema(
    [
        ("build", pa.uint64()),
        ("pointer", pa.string()),
        ("path", pa.string()),
        ("fault", pa.string()),
        ("patch", pa.string()),
    ]
)

# Whole documents.
UNUSABLE = """
insert into seen_quarantine
select document_id, instance_id, null, md5(value), reason, value, slice, page
from (
    select *, coalesce(document::varchar, 'null') as value, case
        when json_type(document) is distinct from 'OBJECT' then 'not an object'
        when instance_id is null then 'no usable id'
        when repaired <> '' and contains(document, chr(65533)) then repaired || ' replaced'
    end as reason
    from shaped
)
where reason is not null
"""

_UNLIKE = """
create or replace temp table unlike as
select here.document_id, here.instance_id, here.slice, here.page, strange.fault,
    concat_ws('.', here.place, nullif(strange.path, '')) as path,
    json_extract(here.document, strange.pointer)::varchar as value
from strange
join $carried as here using (build);
insert into seen_extras
select document_id, instance_id, path, value
from unlike where fault is null and value not in ('null', '""');
insert into seen_quarantine
select document_id, instance_id, nullif(path, ''), md5(value), fault, value, slice, page
from unlike where fault is not null and value <> '""';
update $shaped as shaped set s = json_transform(json_merge_patch(document, patch), $shape)
from (select distinct build, patch from strange where patch is not null) as patches
where shaped.build = patches.build;
"""

_UNREADABLE = """
insert into seen_quarantine
with said as (
    select distinct $id, item, unnest(faults) as fault from $typed where len(faults) > 0
),
located as (
    select $id, item, split_part(fault, ' ', 1) as pointer,
        substr(fault, strpos(fault, ' ') + 1) as reason
    from said
),
valued as (
    select here.*, pointer, reason, json_extract(document, pointer)::varchar as value
    from located join $carried as here using ($id, item)
)
select document_id, instance_id, concat_ws('.', place, replace(pointer[2:], '/', '.')), md5(value),
    reason, value, slice, page
from valued
"""


@dataclass(frozen=True)
class Oddity:
    """Something at a place of a document; `fault` is what is wrong with it, None where it is unknown.

    `patch` is the merge patch that takes it, and all like it, out of the document.
    """

    pointer: str
    path: str
    fault: str | None = None
    patch: str | None = None


def set_aside(connection: duckdb.DuckDBPyConnection, form: Form, shaped: str, carried: str) -> None:
    """Move what is odd in a relation of shaped objects to where it is kept.

    Objects with the same kinds and keys have the same `build`; there are few of those, and each is judged
    once. `carried` has a row for each usable document that an object stands in.
    """
    paths, objects = columns.json_paths(form.kinds), columns.json_paths(form.objects)
    builds = connection.execute(
        f"select build, json_type(document, {paths}), json_keys(document, {objects}) "
        f"from (select build, any_value(document) as document from {carried} group by build)"
    ).fetchall()
    rows = [
        {"build": build, **asdict(oddity)}
        for build, kinds, keys in builds
        for oddity in judge(form, kinds or [], keys or [])
    ]
    if rows:
        connection.register("strange", pa.Table.from_pylist(rows, schema=_STRANGE))
        statement = _UNLIKE.replace("$carried", carried).replace("$shaped", shaped)
        connection.execute(statement.replace("$shape", quoted(form.shape)))
        connection.unregister("strange")


def unreadable(typed: str, carried: str, key: str = "document_id") -> str:
    """The statement that sets aside values which are not of the type of their column."""
    return _UNREADABLE.replace("$carried", carried).replace("$typed", typed).replace("$id", key)


def judge(form: Form, kinds: Sequence[str | None], keys: Sequence[Sequence[str] | None]) -> Iterator[Oddity]:
    """What a build, by its kinds and keys, has that its form has not.

    The kinds are those at `form.kinds`, the keys those of `form.objects`.
    """
    faults = {
        path: fault
        for (path, due), kind in zip(form.kinds.items(), kinds, strict=False)
        if (fault := _fault(due, kind))
    }
    texts = [path for path in faults if path in form.texts]
    for path, fault in faults.items():
        patch = _without(texts) if path in texts else None
        yield Oddity(columns.pointer(path), path, fault, patch)
    for (path, known), present in zip(form.objects.items(), keys, strict=False):
        found = present or ()
        if len(set(found)) < len(found):
            yield Oddity(columns.pointer(path), path, "a key twice")
        for key in sorted(set(found) - known):
            yield Oddity(f"{columns.pointer(path)}/{_escaped(key)}", columns.joined(path, key))


def _fault(due: str, kind: str | None) -> str:
    """What is wrong with a kind of value where another is due; empty where nothing is."""
    if kind in (None, "NULL", due):
        return ""
    if due == "OTHER":
        return "not text" if kind in ("OBJECT", "ARRAY", "BOOLEAN") else ""
    return "not an object" if due == "OBJECT" else "not a list"


def _without(paths: Sequence[str]) -> str:
    """The merge patch that takes the fields away."""
    patch: dict[str, Any] = {}
    for path in paths:
        *parents, leaf = path.split(".")
        inner = patch
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = None
    return json.dumps(patch)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
