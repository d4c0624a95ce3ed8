"""Names the file of a lake that cannot be read any more, and says what to do about it.

Libraries say in many ways that a file is cut off, and not always which. So when something went wrong that
may come of it, the files are looked through; the first that cannot be read is named.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import unquote

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from etl.errors import DemeterError, UsageError
from etl.places import Place

# What an error may be that comes of a damaged file.
SUSPECT = (OSError, ValueError, DeltaError, duckdb.Error, pa.ArrowException)
# What a disk says that does not take more, which is no sign of damage.
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EMFILE)
BACKUP = "restore it from a backup"
# What to do, by the first pattern that the path of a file in the lake matches.
ADVICE = {
    r"tables/.*/_delta_log/(_last_checkpoint|.*\.checkpoint\.parquet)": "move it and _last_checkpoint beside "
    f"it away, which suffices where the log has an entry 00000000000000000000.json; else {BACKUP}",
    r"marts/": "run `demeter build --full`, which works all of them out anew",
    r"tables/rewrite\.json": f"{BACKUP}, or remove it if no replay was killed",
    r"forgetting\.json": f"{BACKUP}, or remove it and run `demeter forget` again",
    r"locks/": "remove it, for no reader sees what it is about",
    r"raw/": f"{BACKUP}, or remove it, for no query reads it",
    r"exports/focus/schemas/": "remove it, and the next export writes it anew",
    r"(prices|exchange_rates)/": "give the file that it came from again",
    r"": BACKUP,
}
# Small files, which are read as a whole.
NOTES = ("demeter.json", "tables/rewrite.json", "marts/current.json", "forgetting.json")
COMMIT = re.compile(r"[0-9]{20}\.json")

Made = TypeVar("Made")


class Damaged(UsageError):
    """A file of the lake cannot be read."""

    def __init__(self, place: Place, error: Exception) -> None:
        self.place = place.path
        advice = next(each for pattern, each in ADVICE.items() if re.match(pattern, self.place))
        super().__init__(f"{place} cannot be read ({_reason(error)}): {advice}")

    @property
    def is_derived(self) -> bool:
        """Whether a build can make the file again."""
        return self.place.startswith("marts/")


def read(place: Place, make: Callable[[Any], Made]) -> Made:
    """What is made of the JSON in a small file; FileNotFoundError where it is not there."""
    try:
        return make(place.json())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Damaged(place, error) from None


def check_log(table: Place) -> None:
    """Raise Damaged for a commit of a table that is empty, over whose rows Delta passes in silence."""
    for place, found in (table / "_delta_log").sizes(deep=False).items() if table.store.tears else ():
        if COMMIT.fullmatch(place.name) and not found.size:
            raise Damaged(place, ValueError())


def check_footers(lake: Place) -> None:
    """Raise Damaged for a file of rows without the end that says what it holds: it is gone, or cut off."""
    for table in (lake / "tables").tables():
        check = _footer if lake.store.tears else _listed(table)
        for place in _rows(table):
            try:
                check(place)
            except SUSPECT as error:
                if place in _rows(table):
                    raise Damaged(place, error) from None


@contextmanager
def named(lake: Place) -> Iterator[None]:
    """Raise Damaged in the place of what comes of a file of the lake that cannot be read."""
    try:
        yield
    except DemeterError:
        raise
    except SUSPECT as error:
        if not any(os.strerror(number) in str(error) for number in REFUSALS) and (damaged := find(lake)):
            raise damaged from error
        raise


def find(lake: Place) -> Damaged | None:
    """The first file of a lake that cannot be read; None where all can."""
    for place, check in _checks(lake):
        try:
            check(place)
        except SUSPECT as error:
            return Damaged(place, error)
    return None


def table_at(place: Place, version: int | None = None) -> deltalake.DeltaTable:
    """The Delta table of a folder, as of a version or as of now."""
    return deltalake.DeltaTable(place.uri, version=version, storage_options=place.store.options)


def _checks(lake: Place) -> Iterator[tuple[Place, Callable[[Place], object]]]:
    """The files of a lake, each with what reads it whole; logs before the files that they name.

    One that nothing names may be gone by then, as of a run that ended meanwhile.
    """
    yield from ((lake / name, _if_there(Place.json)) for name in NOTES)
    notes = (place for place in (lake / "locks").files(deep=False) if place.name.endswith(".writing"))
    yield from ((place, _if_there(_text)) for place in notes)
    versions = _versions(lake)
    tables = (lake / "tables").tables() + (lake / "marts").tables()
    for table in tables:
        yield from ((place, _if_there(check)) for place, check in _checks_of_log(table))
        yield table / "_delta_log", lambda log: table_at(log.parent, versions.get(log.parent))
    for table in tables:
        check = _parquet if lake.store.tears else _listed(table)
        yield from ((place, check) for place in _rows(table, versions.get(table)))
    for kept in ("marts/memory", "exports"):
        files = list((lake / kept).files())
        yield from ((place, _if_there(Place.json)) for place in files if place.name.endswith(".json"))
        yield from ((place, _if_there(_parquet)) for place in files if place.name.endswith(".parquet"))


def _checks_of_log(table: Place) -> Iterator[tuple[Place, Callable[[Place], object]]]:
    files = list((table / "_delta_log").files(deep=False))
    yield from ((place, _commit) for place in files if COMMIT.fullmatch(place.name))
    yield from ((place, _parquet) for place in files if place.name.endswith(".checkpoint.parquet"))
    yield table / "_delta_log" / "_last_checkpoint", _hint


def _if_there(check: Callable[[Place], object]) -> Callable[[Place], None]:
    """The check of a file that may be gone."""

    def checked(place: Place) -> None:
        with suppress(FileNotFoundError):
            check(place)

    return checked


def _versions(lake: Place) -> dict[Place, int]:
    """The versions of the marts that readers see."""
    try:
        published = (lake / "marts/current.json").json()["versions"]
    except FileNotFoundError:
        published = {}
    return {lake / "marts" / name: version for name, version in published.items()}


def _rows(table: Place, version: int | None = None) -> list[Place]:
    """The files of a version of a table, the present one unless given."""
    uris = table_at(table, version).file_uris()
    return sorted((Place(table.store, table.store.name(unquote(uri))) for uri in uris), key=str)


def _text(place: Place) -> str:
    return place.read().decode()


def _commit(place: Place) -> None:
    """Read a commit of a table: an action a line, and at least one."""
    if not [json.loads(line) for line in _text(place).splitlines()]:
        raise ValueError


def _hint(place: Place) -> None:
    """Raise ValueError if a table cannot be opened for a hint at a checkpoint that is not there."""
    log = place.parent
    try:
        table_at(log.parent)
    except SUSPECT:
        if not (log / f"{place.json()['version']:020}.checkpoint.parquet").exists():
            raise ValueError from None


def _footer(place: Place) -> None:
    with place.open() as file:
        pq.read_metadata(file)


def is_whole(place: Place) -> bool:
    """Whether a Parquet file has the end that says what it holds."""
    try:
        _footer(place)
    except SUSPECT:
        return False
    return True


def _parquet(place: Place) -> None:
    with place.open() as opened, pq.ParquetFile(opened) as file:
        for _ in file.iter_batches():
            pass


def _listed(table: Place) -> Callable[[Place], None]:
    """The check whether a file of a table is there, where none that is there is cut off."""
    there = table.sizes()

    def check(place: Place) -> None:
        if place not in there:
            raise FileNotFoundError(str(place))

    return check


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "what it holds is damaged"
