"""The file of the views, `demeter.duckdb`, for any DuckDB client; demeter's own commands make them afresh."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import duckdb

from etl import __version__, sqlfiles, views
from etl.columns import quoted
from etl.lake import Lake

FILE = "demeter.duckdb"
STORAGE = "v1.0.0"  # opened by every DuckDB since 1.0
KEYS = "keys_of_views"  # a macro of the file, which tells what each of its views was made from


def refresh(lake: Lake) -> None:
    """Write the file anew and swap it in, so that its readers see the old views or the new.

    There is none in an object store, where few clients could read what it names.
    """
    _write(lake, lambda connection, draft: {})


def update(lake: Lake) -> None:
    """The same, at the cost of those views alone that have changed since it was last written."""
    _write(lake, lambda connection, draft: _copied(connection, lake.path / FILE, draft))


def _write(lake: Lake, begin: Callable[[duckdb.DuckDBPyConnection, Path], dict[str, str]]) -> None:
    """Write the file, beginning with a draft that has the views of the keys that are returned, attached as
    `lake`, or with none."""
    if not lake.is_directory:
        return
    draft = lake.path / f".{FILE}"
    with lake.lock("views", wait=True), duckdb.connect(":memory:") as connection:
        # What a run that was killed had not put into its draft is of no use to this one.
        draft.with_name(f"{draft.name}.wal").unlink(missing_ok=True)
        views.prepare(lake, connection)
        wanted = views.at_one_moment(lake, connection)
        keys = {"": _digest(f"{lake} {__version__} {sqlfiles.FUNCTIONS}")}
        keys |= {each.name: _digest(each.key) for each in wanted}
        known = begin(connection, draft)
        if known.get("") != keys[""]:
            known = {}
            _begin(connection, draft)
        connection.execute("use lake")
        for name in known.keys() - keys.keys():
            connection.execute(f"drop view {name}")
        for each in wanted:
            if known.get(each.name) != keys[each.name]:
                connection.execute(f"create or replace view {each.name} as {each.query}")
        connection.execute(f"create or replace macro {KEYS}() as {quoted(json.dumps(keys))}")
        connection.execute("use memory")
        connection.execute("detach lake")
        draft.replace(lake.path / FILE)


def _begin(connection: duckdb.DuckDBPyConnection, draft: Path) -> None:
    """Attach an empty file as `lake`, with the functions that reports call."""
    connection.execute("detach database if exists lake")
    draft.unlink(missing_ok=True)
    connection.execute(f"attach {quoted(str(draft))} as lake (storage_version {quoted(STORAGE)})")
    connection.execute("use lake")
    views.make_functions(connection)
    connection.execute("use memory")


def _copied(connection: duckdb.DuckDBPyConnection, file: Path, draft: Path) -> dict[str, str]:
    """Attach a copy of the file as `lake`, and return its keys; none where that is no such file."""
    try:
        shutil.copyfile(file, draft)
        connection.execute(f"attach {quoted(str(draft))} as lake")
        [(text,)] = connection.execute(f"select lake.{KEYS}()").fetchall()
        return dict(json.loads(text))
    except (FileNotFoundError, duckdb.Error, ValueError):
        return {}


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
