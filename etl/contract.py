"""What a sweep found beyond the reference of the API, and what is to be made of it.

All of it is kept, whatever the mode: the mode only says who is told, and whether the run fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from etl import apis, correspondence
from etl.columns import quoted
from etl.errors import CheckFailed
from etl.settings import Settings

# Where in a list something stands does not matter.
_PLACE = r"regexp_replace($path, '\.[0-9]+(\.|$)', '[]\1', 'g')"
_BREACHES = f"""
with present as (
    select 'unknown field' as kind, path as place, '' as said from $now_extras
    where {_PLACE.replace("$path", "path")} not in ($known)
    union all
    select 'odd value', coalesce(field, 'a whole document'), ' is ' || reason from $now_quarantine
    union all
    select 'unknown status', status, '' from $now_instances
    where status is not null and status not in ($statuses)
)
select kind, {_PLACE.replace("$path", "place")} || said as name, count(*) as count
from present group by all
"""


@dataclass(frozen=True)
class Breach:
    """Something that the reference does not have: what kind of thing, where, in how many places, and
    whether it was there at the last sight of what it is about."""

    kind: str
    name: str
    count: int
    is_new: bool

    @property
    def line(self) -> str:
        """What to tell of it."""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"{'new: ' if self.is_new else ''}{self.kind} {self.name}, {times}"


def breaches(connection: duckdb.DuckDBPyConnection, api: str) -> tuple[Breach, ...]:
    """What the sweep has that the reference of its API has not, held against what was known before it."""
    known = correspondence.beside() if api == apis.NOTEBOOKS else ("",)
    query = _BREACHES.replace("$known", ", ".join(map(quoted, sorted(known))))
    query = query.replace("$statuses", ", ".join(map(quoted, apis.STATUSES[api])))
    now, last = (query.replace("$now_", prefix) for prefix in ("now_", "live_"))
    for name in ("extras", "quarantine", "instances"):
        connection.execute(
            f"create or replace temp view live_{name} as from last_{name} "
            "where change not in ('gone', 'unlisted')"
        )
    found = connection.execute(
        f"select now.*, last.count is null from ({now}) as now left join ({last}) as last using (kind, name) "
        "order by kind, name"
    )
    return tuple(Breach(*row) for row in found.fetchall())


def told(settings: Settings, found: Sequence[Breach]) -> Iterator[str]:
    """The lines to tell: none where the reference may evolve, else one for each that is new."""
    if settings.contract != "evolve":
        yield from (breach.line for breach in found if breach.is_new)


def failure(settings: Settings, found: Sequence[Breach], counts: Mapping[str, int]) -> CheckFailed | None:
    """What the sweep fails with: any breach of a strict contract, or too much in quarantine."""
    if settings.contract == "strict" and found:
        listed = "; ".join(breach.line for breach in found)
        return CheckFailed(
            f"the sweep is kept, but it has what its reference does not have: {listed}; look at that, or "
            "set contract to warn"
        )
    unusable, seen = counts["quarantined_count"], counts["instance_count"]
    limit = _limit(settings, seen)
    if not limit or unusable <= limit[1]:
        return None
    return CheckFailed(
        f"the sweep is kept, but {unusable} values of {seen} instances are in quarantine, more than "
        f"{limit[0]} allows: see `demeter report quarantine_by_reason`"
    )


def _limit(settings: Settings, seen: int) -> tuple[str, float] | None:
    """The setting that allows the least in quarantine, and how much that is; None where none limits it."""
    limits = []
    if settings.quarantine_rows:
        limits.append(("quarantine_rows", float(settings.quarantine_rows)))
    if settings.quarantine_share < 1:
        limits.append(("quarantine_share", settings.quarantine_share * seen))
    return min(limits, key=lambda limit: limit[1], default=None)
