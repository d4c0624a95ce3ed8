"""What readers see of a lake: views that take only rows of committed sweeps.

`demeter.duckdb` holds them for any DuckDB client; demeter's own commands make them afresh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import duckdb

from etl import marts, rewrite, sqlfiles
from etl.columns import quoted
from etl.dictionary import Table, kept
from etl.lake import Lake
from etl.scope import WHOLE

FILE = "demeter.duckdb"
STORAGE = "v1.0.0"  # opened by every DuckDB since 1.0

_LIVE = """
select * from {history}
qualify row_number() over (
    partition by project_id, {keys} order by observed_at desc, sweep_id desc) = 1
    and change <> 'gone'
"""


def create(lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views in the connection's present database."""
    connection.execute("set timezone = 'UTC'")
    for statement in _at_one_moment(lake, connection):
        connection.execute(statement)


def _at_one_moment(lake: Lake, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The statements over files that belong together: no rewrite began or ended meanwhile."""
    while True:
        now = rewrite.current(lake)
        since = _live_since(lake, connection, now.versions)
        statements = list(_statements(lake, since, now.versions))
        if rewrite.current(lake) == now:
            return statements


def _statements(lake: Lake, since: date | None, versions: Mapping[str, int]) -> Iterator[str]:
    """The statements that create the views, each after those it stands on."""
    yield f"create view sweeps as select * from {lake.relation('sweeps', version=versions.get('sweeps'))}"
    yield f"create view slices as {_committed(lake, 'slices', versions)}"
    for table in kept():
        yield f"create view {table.history} as {_history(lake, table, versions)}"
        recent = f"({_committed(lake, table.name, versions, since)})"
        yield f"create view {table.name} as {_LIVE.format(history=recent, keys=', '.join(table.keys))}"
    built = marts.published(lake)
    # An earlier demeter may have stored what is worked out from others now: those until the next build.
    known = built.versions if built else {}
    for name, version in known.items():
        yield f"create view {name} as select * from {marts.relation(lake, name, version)}"
    for name, sources in marts.DERIVED.items():
        if name not in known and set(sources) <= set(known):
            yield f"create view {name} as {sqlfiles.text('marts', name)}"


def unlocked(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection with the views, for what demeter itself works out."""
    connection = duckdb.connect(":memory:")
    create(lake, connection)
    return connection


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection with the views that can read the lake and nothing else, and write nowhere."""
    connection = unlocked(lake)
    connection.execute(f"set temp_directory = {quoted(str(lake.path / 'tmp' / 'queries'))}")
    readable = ", ".join(quoted(f"{lake.path / part}/") for part in ("tables", "marts"))
    connection.execute(f"set allowed_directories = [{readable}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def refresh(lake: Lake) -> None:
    """Write demeter.duckdb anew and swap it in, so that its readers see the old views or the new."""
    temporary = lake.path / f".{FILE}"
    with lake.lock("views", wait=True), duckdb.connect(":memory:") as connection:
        temporary.unlink(missing_ok=True)
        connection.execute(f"attach {quoted(str(temporary))} as lake (storage_version {quoted(STORAGE)})")
        connection.execute("use lake")
        create(lake, connection)
        connection.execute("use memory")
        connection.execute("detach lake")
        temporary.replace(lake.path / FILE)


def _history(lake: Lake, table: Table, versions: Mapping[str, int]) -> str:
    """All rows of a table with the time that each was the latest of its key."""
    keys = ", ".join(table.keys)
    return f"""
        select *, observed_at as valid_from, lead(observed_at) over (
            partition by project_id, {keys} order by observed_at, sweep_id) as valid_to
        from ({_committed(lake, table.name, versions)})
    """


def _committed(lake: Lake, name: str, versions: Mapping[str, int], since: date | None = None) -> str:
    rows = lake.relation(name, since, versions.get(name))
    return f"select * from {rows} where sweep_id in (select sweep_id from sweeps)"


def _live_since(
    lake: Lake, connection: duckdb.DuckDBPyConnection, versions: Mapping[str, int]
) -> date | None:
    """The first day that can hold the last row of a live key: each has one since the day of the
    last complete sweep of its project."""
    found = connection.execute(f"""
        select min(since) from (
            select max(case when verdict = 'complete' and scope = {quoted(WHOLE)}
                then (observed_from at time zone 'UTC')::date else '0001-01-01' end) as since
            from {lake.relation("sweeps", version=versions.get("sweeps"))}
            where observed_from is not null group by project_id)
    """).fetchone()
    since: date | None = found[0] if found else None
    return None if since is None or since.year == 1 else since
