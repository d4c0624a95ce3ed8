"""What readers see of a lake: views that take only rows of committed sweeps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import cache, cached_property, partial

import duckdb

from etl import marts, rewrite, sqlfiles
from etl.columns import quoted
from etl.dictionary import Table, kept
from etl.lake import Lake
from etl.scope import WHOLES

_LIVE = """
select * from {history}
qualify row_number() over (
    partition by project_id, {keys} order by observed_at desc, sweep_id desc) = 1
    and change not in ('gone', 'unlisted')
"""


class View:
    """A view and its query, whose key changes whenever it does, and may be had for less."""

    def __init__(self, name: str, make: Callable[[], str], version: str = "") -> None:
        self.name, self._make, self._version = name, make, version

    @cached_property
    def query(self) -> str:
        """The query, over the files of now."""
        return self._make()

    @cached_property
    def key(self) -> str:
        """What tells the query apart from those before it."""
        return self._version or self.query

    def settle(self) -> None:
        """Rest on the files of now, whatever comes of them."""
        self.key  # noqa: B018 -- is kept


def create(lake: Lake, connection: duckdb.DuckDBPyConnection, wanted: str | None = None) -> None:
    """Create the views in the connection's present database, of all tables or those that a text names."""
    prepare(lake, connection)
    make_functions(connection)
    for each in at_one_moment(lake, connection, wanted):
        connection.execute(f"create view {each.name} as {each.query}")


def prepare(lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection read the lake, in UTC and without a word."""
    lake.attach(connection)
    connection.execute("set timezone = 'UTC'")
    # DuckDB writes it to standard output, among what was asked for. In Jupyter without ipywidgets there is
    # none, and DuckDB refuses to hear of it.
    with suppress(duckdb.InvalidInputException):
        connection.execute("set enable_progress_bar = false")


def make_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions that the reports call, in the connection's present database."""
    for name, body in sqlfiles.FUNCTIONS.items():
        connection.execute(f"create or replace macro {name}(number) as {body}")


def at_one_moment(lake: Lake, connection: duckdb.DuckDBPyConnection, wanted: str | None = None) -> list[View]:
    """The views of all tables, or those that a text names and what they stand on, each after what it stands
    on; their files belong together: no rewrite began or ended meanwhile."""
    while True:
        now = rewrite.current(lake)
        found = list(_views(lake, connection, now.versions))
        found = found if wanted is None else _named(found, wanted)
        for each in found:
            each.settle()
        if rewrite.current(lake) == now:
            return found


def _named(views: Sequence[View], wanted: str) -> list[View]:
    """The views that a text names, and those that they stand on."""
    found: list[View] = []
    words = _words(wanted)
    for each in reversed(views):
        if each.name in words:
            found.append(each)
            words |= _words(each.query)
    return found[::-1]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _views(lake: Lake, connection: duckdb.DuckDBPyConnection, versions: Mapping[str, int]) -> Iterator[View]:
    """Each view, in such an order that each stands on earlier ones."""
    since = cache(lambda: live_since(lake, connection, versions))
    sweeps = versions.get("sweeps")
    yield View("sweeps", lambda: f"select * from {lake.relation('sweeps', version=sweeps)}")
    yield View("slices", lambda: _committed(lake, "slices", versions))
    for table in kept():
        yield View(table.history, partial(_history, lake, table, versions))
        yield View(table.name, partial(_live, lake, table, versions, since))
    built = marts.published(lake)
    # An earlier demeter may have stored what is worked out from others now: those until the next build.
    known, made_by = (built.versions, built.memory) if built else ({}, "")
    for name, version in known.items():
        # Spark keeps no memory, and after a mart was damaged its versions begin anew.
        key = f"version {version} of {made_by}" if made_by else ""
        yield View(name, partial(_mart, lake, name, version), key)
    for name, sources in marts.DERIVED.items():
        if name not in known and set(sources) <= set(known):
            yield View(name, partial(sqlfiles.text, "marts", name))


def unlocked(lake: Lake, wanted: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the views, of all tables or those that a text names, for demeter's own work."""
    connection = duckdb.connect(":memory:")
    create(lake, connection, wanted)
    return connection


def connect(lake: Lake, wanted: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the same views that can read the lake and nothing else, and write nowhere."""
    connection = unlocked(lake, wanted)
    connection.execute(f"set temp_directory = {quoted(str(lake.spill('queries')))}")
    readable = ", ".join(quoted(f"{lake.place(part).uri}/") for part in ("tables", "marts"))
    connection.execute(f"set allowed_directories = [{readable}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def history(table: Table, rows: str) -> str:
    """All rows of a table, which a query gives, with the time that each was the latest of its key."""
    keys = ", ".join(table.keys)
    return f"""
        select *, observed_at as valid_from, lead(observed_at) over (
            partition by project_id, {keys} order by observed_at, sweep_id) as valid_to
        from ({rows})
    """


def live(table: Table, rows: str) -> str:
    """The last row of each key that lives, of the rows of a table, which a query gives."""
    return _LIVE.format(history=f"({rows})", keys=", ".join(table.keys))


def _history(lake: Lake, table: Table, versions: Mapping[str, int]) -> str:
    return history(table, _committed(lake, table.name, versions))


def _live(lake: Lake, table: Table, versions: Mapping[str, int], since: Callable[[], date | None]) -> str:
    return live(table, _committed(lake, table.name, versions, since()))


def _mart(lake: Lake, name: str, version: int) -> str:
    return f"select * from {marts.relation(lake, name, version)}"


def _committed(lake: Lake, name: str, versions: Mapping[str, int], since: date | None = None) -> str:
    return committed(lake.relation(name, since, versions.get(name)))


def committed(rows: str) -> str:
    """The rows of committed sweeps, of a relation."""
    return f"select * from {rows} where sweep_id in (select sweep_id from sweeps)"


def live_since(lake: Lake, connection: duckdb.DuckDBPyConnection, versions: Mapping[str, int]) -> date | None:
    """The first day that can hold the last row of a live key: each has one since the day of the
    last complete sweep of its project."""
    found = connection.execute(f"""
        select min(since) from (
            select max(case when verdict = 'complete' and scope in ({", ".join(map(quoted, WHOLES))})
                then (observed_from at time zone 'UTC')::date else '0001-01-01' end) as since
            from {lake.relation("sweeps", version=versions.get("sweeps"))}
            where observed_from is not null group by project_id)
    """).fetchone()
    since: date | None = found[0] if found else None
    return None if since is None or since.year == 1 else since
