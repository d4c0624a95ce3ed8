"""The file of the views, `demeter.duckdb`, for any DuckDB client; demeter's own commands make them afresh."""

from __future__ import annotations

import json
import shutil
from hashlib import md5
from pathlib import Path

import duckdb

from etl import __version__, sqlfiles, views
from etl.columns import quoted
from etl.lake import Lake

FILE = "demeter.duckdb"
STORAGE = "v1.0.0"  # opened by every DuckDB since 1.0
KEYS = "keys_of_views"  # a macro of the file, which tells what each of its views was made from

# All that a client may have added, dropped or put in the place of a view.
_CONTENT = """
select coalesce(md5(string_agg(sql, ';' order by sql)), '') from (
    select sql from duckdb_views() where database_name = 'lake' and not internal
    union all
    select sql from duckdb_tables() where database_name = 'lake'
)
"""


def refresh(lake: Lake) -> None:
    """Write the file anew and swap it in, so that its readers see the old views or the new.

    There is none in an object store, where few clients could read what it names.
    """
    _write(lake, is_anew=True)


def update(lake: Lake) -> None:
    """The same, at the cost of those views alone that have changed since it was last written.

    A file that holds anything else than what was written is written anew.
    """
    _write(lake, is_anew=False)


def _write(lake: Lake, is_anew: bool) -> None:
    if not lake.is_directory:
        return
    draft = lake.path / f".{FILE}"
    with lake.lock("views", wait=True), duckdb.connect(":memory:") as connection:
        # What a run that was killed had not put into its draft is of no use to this one.
        draft.unlink(missing_ok=True)
        draft.with_name(f"{draft.name}.wal").unlink(missing_ok=True)
        views.prepare(lake, connection)
        wanted = views.at_one_moment(lake, connection)
        made_by = _digest(f"{lake} {__version__} {sqlfiles.FUNCTIONS}")
        keys = {each.name: _digest(each.key) for each in wanted}
        known = {} if is_anew else _copied(connection, lake.path / FILE, draft, made_by)
        if not known:
            _begin(connection, draft)
        connection.execute("use lake")
        for name in known.keys() - keys.keys():
            connection.execute(f"drop view {name}")
        for each in wanted:
            if known.get(each.name) != keys[each.name]:
                connection.execute(f"create or replace view {each.name} as {each.query}")
        connection.execute("use memory")
        connection.execute("detach lake")
        # What DuckDB reads of a view is not to the letter what it was told.
        connection.execute(f"attach {quoted(str(draft))} as lake")
        told = json.dumps({"made_by": made_by, "content": _content(connection), "views": keys})
        connection.execute(f"create or replace macro lake.{KEYS}() as {quoted(told)}")
        connection.execute("detach lake")
        # Nor is what a client that was killed had not put into the file of before.
        (lake.path / f"{FILE}.wal").unlink(missing_ok=True)
        draft.replace(lake.path / FILE)


def _begin(connection: duckdb.DuckDBPyConnection, draft: Path) -> None:
    """Attach an empty file as `lake`, with the functions that reports call."""
    connection.execute("detach database if exists lake")
    draft.unlink(missing_ok=True)
    connection.execute(f"attach {quoted(str(draft))} as lake (storage_version {quoted(STORAGE)})")
    connection.execute("use lake")
    views.make_functions(connection)
    connection.execute("use memory")


def _copied(connection: duckdb.DuckDBPyConnection, file: Path, draft: Path, made_by: str) -> dict[str, str]:
    """Attach a copy of the file as `lake`, and return the keys of its views.

    There are none where that is no such file, or others than demeter have written to it.
    """
    try:
        shutil.copyfile(file, draft)
        connection.execute(f"attach {quoted(str(draft))} as lake")
        [(text,)] = connection.execute(f"select lake.{KEYS}()").fetchall()
        told = json.loads(text)
        is_own = told["made_by"] == made_by and told["content"] == _content(connection)
        return dict(told["views"]) if is_own else {}
    except (OSError, duckdb.Error, ValueError, KeyError, TypeError):
        return {}


def _content(connection: duckdb.DuckDBPyConnection) -> str:
    [(found,)] = connection.execute(_CONTENT).fetchall()
    return str(found)


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
