"""Names the file of a lake that cannot be read any more, and says what to do about it.

Libraries say in many ways that a file is cut off, and not always which. So when something went wrong that
may come of it, the files are looked through; the first that cannot be read is named.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from etl.errors import DemeterError, UsageError

# What an error may be that comes of a damaged file.
SUSPECT = (OSError, ValueError, DeltaError, duckdb.Error, pa.ArrowException)
# What a disk says that does not take more, which is no sign of damage.
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EMFILE)
BACKUP = "restore it from a backup"
# What to do, by the first pattern that the path of a file in the lake matches.
ADVICE = {
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

    def __init__(self, lake: Path, path: Path, error: Exception) -> None:
        self.place = path.relative_to(lake).as_posix()
        advice = next(each for pattern, each in ADVICE.items() if re.match(pattern, self.place))
        super().__init__(f"{path} cannot be read ({_reason(error)}): {advice}")

    @property
    def is_derived(self) -> bool:
        """Whether a build can make the file again."""
        return self.place.startswith("marts/")


def read(lake: Path, path: Path, make: Callable[[Any], Made]) -> Made:
    """What is made of the JSON in a small file; FileNotFoundError where it is not there."""
    try:
        return make(_json(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Damaged(lake, path, error) from None


def check_log(lake: Path, location: Path) -> None:
    """Raise Damaged for a commit of a table that is empty, over whose rows Delta passes in silence."""
    for path in (location / "_delta_log").glob("*.json"):
        if COMMIT.fullmatch(path.name) and not path.stat().st_size:
            raise Damaged(lake, path, ValueError())


def check_footers(lake: Path) -> None:
    """Raise Damaged for a file of rows without the end that says what it holds: it is gone, or cut off."""
    for log in sorted(lake.glob("tables/*/_delta_log")):
        for uri in sorted(_table(log, {}).file_uris()):
            path = Path(unquote(uri))
            try:
                pq.read_metadata(path)
            except SUSPECT as error:
                if path.as_posix() in map(unquote, _table(log, {}).file_uris()):
                    raise Damaged(lake, path, error) from None


@contextmanager
def named(lake: Path) -> Iterator[None]:
    """Raise Damaged in the place of what comes of a file of the lake that cannot be read."""
    try:
        yield
    except DemeterError:
        raise
    except SUSPECT as error:
        if not any(os.strerror(number) in str(error) for number in REFUSALS) and (damaged := find(lake)):
            raise damaged from error
        raise


def find(lake: Path) -> Damaged | None:
    """The first file of a lake that cannot be read; None where all can."""
    for path, check in _checks(lake):
        try:
            check(path)
        except SUSPECT as error:
            return Damaged(lake, path, error)
    return None


def _checks(lake: Path) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """The files of a lake, each with what reads it whole; logs before the files that they name.

    One that nothing names may be gone by then, as of a run that ended meanwhile.
    """
    yield from ((lake / name, _if_there(_json)) for name in NOTES)
    yield from ((path, _if_there(Path.read_text)) for path in sorted(lake.glob("locks/*.writing")))
    versions = _versions(lake)
    logs = sorted(lake.glob("tables/*/_delta_log")) + sorted(lake.glob("marts/*/_delta_log"))
    for log in logs:
        commits = (path for path in sorted(log.glob("*.json")) if COMMIT.fullmatch(path.name))
        yield from ((path, _if_there(_commit)) for path in commits)
        yield from ((path, _if_there(_parquet)) for path in sorted(log.glob("*.checkpoint.parquet")))
        yield log, lambda log: _table(log, versions)
    for log in logs:
        yield from ((Path(unquote(uri)), _parquet) for uri in sorted(_table(log, versions).file_uris()))
    for kept in ("marts/memory", "exports"):
        yield from ((path, _if_there(_json)) for path in sorted(lake.glob(f"{kept}/**/*.json")))
        yield from ((path, _if_there(_parquet)) for path in sorted(lake.glob(f"{kept}/**/*.parquet")))


def _if_there(check: Callable[[Path], object]) -> Callable[[Path], None]:
    """The check of a file that may be gone."""

    def checked(path: Path) -> None:
        with suppress(FileNotFoundError):
            check(path)

    return checked


def _versions(lake: Path) -> dict[Path, int]:
    """The versions of the marts that readers see."""
    path = lake / "marts" / "current.json"
    published = _json(path)["versions"] if path.exists() else {}
    return {lake / "marts" / name: version for name, version in published.items()}


def _table(log: Path, versions: Mapping[Path, int]) -> deltalake.DeltaTable:
    """The table of a log as readers see it."""
    return deltalake.DeltaTable(str(log.parent), version=versions.get(log.parent))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _commit(path: Path) -> None:
    """Read a commit of a table: an action a line, and at least one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if not [json.loads(line) for line in lines]:
        raise ValueError


def _parquet(path: Path) -> None:
    with pq.ParquetFile(path) as file:
        for _ in file.iter_batches():
            pass


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "what it holds is damaged"
