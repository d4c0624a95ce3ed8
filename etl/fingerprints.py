"""What the figures of each day rest on, as a text a day that changes with any of it."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import duckdb

from etl.reach import DAY_US, FAR_US, Reach, date_of
from etl.window import SUPPORT

Day = tuple[date, int, int]  # its date, first instant, and the one at which it ends

# What is worked out for a billing day itself from the small tables.
_DAILY = " union all ".join(
    f"select usage_date, '{name}' as part, sum(hash(each_row))::varchar as contents "
    f"from {name} as each_row group by usage_date"
    for name in ("prices_daily", "pools_daily", "pool_days")
)
# What is known of a UTC day, of its sweeps and of its instances; each counted from 1970.
_OBSERVED = f"""
select (observed_date - date '1970-01-01')::bigint as day, 'rows' as part, contents from partitions
union all
select from_us // {DAY_US} as day, 'steps' as part, sum(hash(each_row))::varchar as contents
from (select * exclude (first_us, last_us) from sweep_steps) as each_row group by day
union all
select epoch_us(coalesce(observed_from, observed_at)) // {DAY_US} as day, 'sweeps' as part,
    sum(hash(sweep_id, verdict, scope, observed_from))::varchar as contents
from sweeps group by day
"""
_SUPPORTED = f"""
select day_number as day, sum(hash(each_row))::varchar as contents from ({SUPPORT}) as each_row group by day
"""
_DISK_SKU = "select count(*) > 0 from prices where kind = 'storage' and sku = 'evs'"
_TERMS = """
select project_id, flavor, from_us, to_us, hash(
    sku, promo_type, billing_flavor, billing_ratio, accelerator_count, cpu_count, memory_bytes)::varchar
from terms order by project_id, flavor, from_us
"""
_OPEN = f"select from_us from long_pairs where to_us = {FAR_US} order by from_us"
_SCOPES = """
select project_id, scope, min(from_us), max(from_us), min(first_us), max(last_us)
from sweep_steps group by project_id, scope order by project_id, scope
"""


class Fingerprints:
    """What does not move while a build finds out which days to work out; the rest is asked for each time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, calendar: Sequence[Day], reach: Reach) -> None:
        self._calendar, self._reach = calendar, reach
        self._daily: dict[date, list[Any]] = defaultdict(list)
        for day, *told in connection.execute(f"{_DAILY} order by all").fetchall():
            self._daily[day].append(told)
        self._observed: dict[int, list[Any]] = defaultdict(list)
        for number, *told in connection.execute(f"{_OBSERVED} order by all").fetchall():
            self._observed[number].append(told)
        self._days = sorted(self._observed)
        self._flavors: dict[int, set[tuple[str, str]]] = defaultdict(set)
        for day, project_id, flavor in connection.execute("from flavors_used").fetchall():
            self._flavors[(day - date_of(0)).days].add((project_id, flavor))
        self._terms: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for project_id, flavor, *told in connection.execute(_TERMS).fetchall():
            self._terms[project_id, flavor].append(told)
        self._scopes = connection.execute(_SCOPES).fetchall()
        self._disk_sku = connection.execute(_DISK_SKU).fetchall()

    def of_days(self, connection: duckdb.DuckDBPyConnection) -> dict[date, str]:
        """The fingerprint of every day of the calendar, by what is taken as known of each."""
        supported = dict(connection.execute(_SUPPORTED).fetchall())
        open_us = [each for (each,) in connection.execute(_OPEN).fetchall()]
        return {day[0]: self._of(day, supported, open_us) for day in self._calendar}

    def _of(self, day: Day, supported: dict[int, str], open_us: Sequence[int]) -> str:
        name, from_us, to_us = day
        first = self._reach.first(from_us // DAY_US)
        last = self._reach.last((to_us - 1) // DAY_US)
        numbers = self._days[bisect_left(self._days, first) : bisect_left(self._days, last + 1)]
        begin = min(first * DAY_US, from_us)
        is_open = bisect_left(open_us, from_us) < bisect_left(open_us, to_us)
        parts = [
            [from_us, to_us, self._disk_sku],
            self._daily.get(name),
            [(number, self._observed[number], supported.get(number)) for number in numbers],
            self._terms_of(numbers, begin, to_us),
            list(self._metered(begin, to_us, is_open)),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _metered(self, begin: int, to_us: int, is_open: bool) -> Iterator[tuple[Any, ...]]:
        """From when to when each scope was metered, as far as it matters to what begins between two instants.

        It matters wholly to what lasts until nobody knows when.
        """
        for project_id, scope, since_us, until_us, first_us, last_us in self._scopes:
            end = FAR_US if is_open else self._reach.until_us(project_id, scope, (to_us - 1) // DAY_US)
            if since_us <= max(end, to_us) and until_us >= begin:
                spans = (_clipped(each, begin, max(end, to_us)) for each in (first_us, last_us))
                yield project_id, scope, *spans

    def _terms_of(self, numbers: Sequence[int], begin: int, end: int) -> list[Any]:
        """The terms of the flavors that these days saw, as far as they hold between two instants."""
        used = sorted(set().union(*(self._flavors[number] for number in numbers)))
        return [
            (*key, max(from_us, begin), min(to_us, end), contents)
            for key in used
            for from_us, to_us, contents in self._terms.get(key, ())
            if from_us < end and to_us > begin
        ]


def _clipped(instant_us: int | None, begin: int, end: int) -> int | None:
    """An instant, as far as it matters to what lies between two others."""
    return None if instant_us is None else min(max(instant_us, begin), end)
