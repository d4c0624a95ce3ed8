"""Cut one page out of the rows that were asked for, rightly or with the faults that are set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from etl.emulator.answers import Declined, demanager, modelarts
from etl.emulator.faults import Faults
from etl.emulator.parameters import Query
from etl.emulator.rows import Row


def page(rows: list[Row], query: Query, faults: Faults) -> list[Row]:
    """The rows of the page; raise Declined where the faults refuse the limit or the offset."""
    query = _capped(query, faults)
    if faults.past_end_error and 0 < query.offset >= len(rows):
        message = f"fromIndex({query.offset}) > toIndex({len(rows)})"
        raise Declined(modelarts(400, "ModelArts.6400", message))
    if query.offset > 0 and faults.empty_pages > 0:
        faults.empty_pages -= 1
        return []
    first = _first_index(query, faults)
    cut = rows[first : first + query.limit] if query.limit else rows[first:]
    twice = cut[: faults.duplicate_rows]
    return twice + cut


def is_whole(cut: list[Row], rows: list[Row], faults: Faults) -> bool:
    """Whether a page is all of the listing, with its true total."""
    return len(cut) == len(rows) and faults.total_count is None


def body(rows: list[Row], total: int, faults: Faults, now_us: int) -> bytes:
    """The page as JSON, with the total that the faults make of the true one."""
    listed = b",".join([row.body(now_us) for row in rows])
    return b'{"instances":[' + listed + b"]" + _total("total_count", total, faults) + b"}"


def notebook_body(rows: list[bytes], told: Mapping[str, Any], total: int, faults: Faults) -> bytes:
    """The same as the successor has it, with what the page says of itself."""
    head = orjson.dumps(told)[:-1] + (b',"data":[' if told else b'"data":[')
    return head + b",".join(rows) + b"]" + _total("total", total, faults) + b"}"


def _capped(query: Query, faults: Faults) -> Query:
    cap = faults.page_cap
    if cap is None or 0 < query.limit <= cap:
        return query
    if faults.cap_refuses and query.limit:
        raise Declined(demanager(400, "ModelArts.6336", f"The limit must not exceed {cap}."))
    return replace(query, limit=cap)


def _first_index(query: Query, faults: Faults) -> int:
    if faults.ignore_offset:
        return 0
    if faults.page_numbers:
        return query.offset * query.limit
    if faults.page_aligned and query.limit:
        return query.offset - query.offset % query.limit
    return query.offset


def _total(name: str, total: int, faults: Faults) -> bytes:
    said = faults.total_count
    if said == "absent":
        return b""
    value = str(total) if said == "text" else total if said is None else said
    return b',"%b":' % name.encode() + orjson.dumps(value)
