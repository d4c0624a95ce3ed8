"""The lake: tidy tables as Delta tables, and the row in `sweeps` that commits a sweep.

Delta commits one table at a time. A sweep therefore writes its rows first and its row in `sweeps`
last, and every reader takes only rows of sweeps that are in `sweeps`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import IO
from urllib.parse import unquote

import deltalake
import duckdb
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from etl import damage
from etl.columns import quoted
from etl.dictionary import TABLES, Table, all_columns, table
from etl.errors import LakeBusy, UsageError

VERSION = 1
MARKER = "demeter.json"
FILES_OF_TODAY = 24  # in one table, before they are made one
COMMITS_BEFORE_CHECKPOINT = 20
ROW_GROUP_ROWS = 32_768
MOST_CONFLICTS = 20  # of a commit with deletions by others
SHORT_WHILE_SECONDS = 0.1  # longer than it takes to look whether a lock is held, which holds it too

# What the disk refuses comes from Python, from Delta's writers and, in several kinds, from DuckDB.
DISK_ERRORS = (
    OSError,
    DeltaError,
    duckdb.IOException,
    duckdb.TransactionException,
    duckdb.FatalException,
)

# A row group is held in memory while it is written, and is what a reader may skip.
WRITER = deltalake.WriterProperties(
    compression="ZSTD", compression_level=3, max_row_group_size=ROW_GROUP_ROWS
)

# Rows to write, which may be read again where the writing has to be tried again.
Rows = Callable[[], pa.RecordBatchReader]

ARROW_TYPES = {
    "varchar": pa.string(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


@contextmanager
def private() -> Iterator[None]:
    """Make every file for its owner alone meanwhile, whichever library writes it."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def schema(table: Table) -> pa.Schema:
    """The Arrow schema of a tidy table."""
    return pa.schema([(column.name, ARROW_TYPES[column.sql_type]) for column in all_columns(table)])


class Lake:
    """A lake in a local directory."""

    def __init__(self, path: str | Path) -> None:
        if "://" in str(path):
            raise UsageError(f"the lake {path} is a URL: give a directory with DEMETER_LAKE")
        if set("#?%[]") & set(str(Path(path).absolute())):
            raise UsageError(f"the lake {path} has one of # ? % [ ] in its path: give another directory")
        self.path = Path(path).absolute()
        self._tables: dict[str, deltalake.DeltaTable] = {}

    def create(self) -> None:
        """Make what is missing of the lake: the directories and every table, empty."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"the lake {self.path} is a file: give a directory with DEMETER_LAKE")
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            # What spills makes a directory in it, but none above that.
            self.spill("").mkdir(exist_ok=True, mode=0o700)
            self._check_version()
            for each in TABLES:
                if not deltalake.DeltaTable.is_deltatable(str(self.location(each.name))):
                    self._create_table(each)
            replace_text(self.path / MARKER, json.dumps({"version": VERSION}) + "\n")
        except OSError as error:
            raise UsageError(
                f"the lake {self.path} cannot be written: {error.strerror or error}; mend that, or "
                "give another one with DEMETER_LAKE"
            ) from None

    def check(self) -> None:
        """Raise UsageError unless this is a lake that this version can read."""
        if not (self.path / MARKER).is_file():
            raise UsageError(f"there is no lake at {self.path}: run `demeter sweep`, or set DEMETER_LAKE")
        self._check_version()

    def location(self, name: str) -> Path:
        """The directory of a table."""
        return self.path / "tables" / name

    def raw(self, project_id: str) -> Path:
        """The directory of the raw pages of a project, one directory a sweep."""
        return self.path / "raw" / project_id

    def spill(self, project_id: str) -> Path:
        """The directory that a sweep of the project, or `queries`, may fill when memory does not suffice."""
        return self.path / "tmp" / project_id

    def delta(self, name: str) -> deltalake.DeltaTable:
        """The table as of now."""
        if name not in self._tables:
            damage.check_log(self.path, self.location(name))
            self._tables[name] = deltalake.DeltaTable(str(self.location(name)))
        elif not self._is_newest(name, self._tables[name].version()):
            self._tables[name].update_incremental()
        return self._tables[name]

    def _is_newest(self, name: str, version: int) -> bool:
        """Whether no later version of a table was committed, as far as the names of its log tell."""
        log = self.location(name) / "_delta_log"
        return (log / f"{version:020}.json").exists() and not (log / f"{version + 1:020}.json").exists()

    def files(self, name: str, since: date | None = None, version: int | None = None) -> list[str]:
        """The files of a version of the table, the present one unless given, of the days from `since` on."""
        first = since.isoformat() if since else ""
        delta = self.delta(name) if version is None else self._delta_at(name, version)
        return sorted(unquote(uri) for uri in delta.file_uris() if _partition(uri) >= first)

    def days(self, name: str, version: int | None = None) -> dict[date, list[str]]:
        """The files of each day of a version of a table that is kept by day, the present one unless given."""
        found: dict[date, list[str]] = {}
        delta = self.delta(name) if version is None else self._delta_at(name, version)
        for uri in sorted(delta.file_uris()):
            found.setdefault(date.fromisoformat(_partition(uri)), []).append(unquote(uri))
        return found

    def relation(self, name: str, since: date | None = None, version: int | None = None) -> str:
        """SQL that reads a table, committed or not, of the days from `since` on."""
        return self.over(name, self.files(name, since, version))

    def over(self, name: str, files: Sequence[str]) -> str:
        """SQL that reads these files of a table."""
        columns = all_columns(table(name))
        if not files:
            empty = ", ".join(f"null::{column.sql_type} as {column.name}" for column in columns)
            return f"(select {empty} where false)"
        listed = ", ".join(quoted(file) for file in files)
        hive = "true, hive_types = {'observed_date': date}" if table(name).owner != "log" else "false"
        names = ", ".join(column.name for column in columns)
        options = f"hive_partitioning = {hive}"
        return f"(select {names} from read_parquet([{listed}], {options}))"

    def append(self, name: str, rows: pa.Table) -> None:
        """Add rows to a table."""
        self.append_batches(name, rows.select(schema(table(name)).names).to_reader)

    def append_batches(self, name: str, rows: Rows) -> None:
        """Add rows to a table a batch at a time; their columns are in its order."""
        wanted = schema(table(name))
        for _ in range(MOST_CONFLICTS):
            with suppress(CommitFailedError):
                added = rows().cast(wanted)
                deltalake.write_deltalake(self.delta(name), added, mode="append", writer_properties=WRITER)
                return
            # Rows were deleted meanwhile, which Delta takes for a conflict; what is added rests on none.
            self.delta(name).update_incremental()
        raise LakeBusy(f"others change {name} of this lake again and again: run this again later")

    def replace(self, name: str, project_id: str, since: str, rows: pa.RecordBatchReader) -> None:
        """Put rows in the place of those that the sweeps of a project wrote since the given one."""
        deltalake.write_deltalake(
            self.delta(name),
            rows,
            mode="overwrite",
            predicate=f"project_id = {quoted(project_id)} and sweep_id >= {quoted(since)}",
            writer_properties=WRITER,
        )

    def commit(self, sweep_id: str, project_id: str, rows: Iterable[tuple[str, Rows]]) -> None:
        """Write the rows of a sweep, a table at a time; the last is its row in `sweeps`, which shows them."""
        marker = self._marker(project_id)
        replace_text(marker, sweep_id)
        for name, table_rows in rows:
            self.append_batches(name, table_rows)
        marker.unlink()

    def clean_up(self, project_id: str) -> None:
        """Remove what a run of the project that was killed left: rows, and space to spill into."""
        shutil.rmtree(self.spill(project_id), ignore_errors=True)
        sweep_id = self.killed(project_id)
        if sweep_id:
            with self.lock("house", wait=True):
                for each in TABLES:
                    self.delta(each.name).delete(f"sweep_id = {quoted(sweep_id)}")
        self._marker(project_id).unlink(missing_ok=True)

    def killed(self, project_id: str) -> str:
        """The sweep of the project that began to write and is not committed; empty where there is none."""
        marker = self._marker(project_id)
        sweep_id = marker.read_text(encoding="utf-8") if marker.exists() else ""
        if not sweep_id:
            return ""
        committed = self.delta("sweeps").to_pyarrow_table(columns=["sweep_id"])["sweep_id"].to_pylist()
        return "" if sweep_id in committed else sweep_id

    def keep_house(self) -> None:
        """Compact and checkpoint where commits have piled up, so that later sweeps stay as fast."""
        for each in TABLES:
            self.keep(each.name)

    def keep(self, name: str) -> None:
        """Compact and checkpoint one table where commits have piled up."""
        with self.lock("house", wait=True):
            merge(self.delta(name), sorted_by(table(name)))
            checkpoint(self.delta(name), self.location(name))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Raise UsageError, which says what to mend, where the disk refuses what is done inside."""
        try:
            with damage.named(self.path):
                yield
        except duckdb.OutOfMemoryException as error:
            raise UsageError(
                f"{str(error).partition(chr(10))[0]}; nothing is lost: give more memory with DEMETER_MEMORY, "
                "or more space to the lake, then run this again"
            ) from error
        except DISK_ERRORS as error:
            reason = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
            raise UsageError(
                f"the lake {self.path} cannot be written: {reason}; nothing is lost: mend that, then run "
                "this again"
            ) from error

    @contextmanager
    def lock(self, name: str, wait: bool = False, seconds: float = 0.0) -> Iterator[None]:
        """Hold the lock of that name; where another run holds it, wait for it, or so long, or raise LakeBusy.

        The system lets go of it when the process ends, however it ends.
        """
        path = self.path / "locks" / f"{name}.lock"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        until = time.monotonic() + max(seconds, SHORT_WHILE_SECONDS)
        with path.open("a", encoding="utf-8") as file:
            while not _is_taken(file, wait):
                if time.monotonic() > until:
                    raise LakeBusy(f"another run holds {path.stem} of this lake: wait for it to end")
                time.sleep(SHORT_WHILE_SECONDS)
            yield

    def is_held(self, name: str) -> bool:
        """Whether another run holds the lock of that name."""
        path = self.path / "locks" / f"{name}.lock"
        if not path.exists():
            return False
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _delta_at(self, name: str, version: int) -> deltalake.DeltaTable:
        damage.check_log(self.path, self.location(name))
        return deltalake.DeltaTable(str(self.location(name)), version=version)

    def _marker(self, project_id: str) -> Path:
        """The file that names the sweep of a project which is being written."""
        return self.path / "locks" / f"{project_id}.writing"

    def projects(self) -> list[str]:
        """The projects of which a run may have left something behind: spilled files, or a note."""
        notes = [path.stem for path in self.path.glob("locks/*.writing")]
        return sorted({*notes, *(path.name for path in self.path.glob("tmp/*") if path.name != "queries")})

    def _create_table(self, table: Table) -> None:
        deltalake.DeltaTable.create(
            str(self.location(table.name)),
            schema=deltalake.Schema.from_arrow(schema(table)),
            partition_by=None if table.owner == "log" else ["observed_date"],
            mode="ignore",
        )

    def _check_version(self) -> None:
        """Raise UsageError for a lake of a newer version."""
        marker = self.path / MARKER
        if not marker.exists():
            return
        version = damage.read(self.path, marker, lambda values: int(values["version"]))
        if version > VERSION:
            raise UsageError(
                f"the lake {self.path} is of version {version} and this demeter knows {VERSION}: "
                "upgrade demeter"
            )


def _is_taken(file: IO[str], wait: bool) -> bool:
    """Take the lock that a file is; False where another run holds it, unless this one is to wait."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def merge(delta: deltalake.DeltaTable, column: str | None = None) -> None:
    """Make one of the files of each day that has too many, its rows sorted by a column if one is given."""
    for day in crowded(delta):
        chosen = [(delta.metadata().partition_columns[0], "=", day)] if day else None
        if column:
            delta.optimize.z_order([column], partition_filters=chosen, writer_properties=WRITER)
        else:
            delta.optimize.compact(partition_filters=chosen, writer_properties=WRITER)


def sorted_by(table: Table) -> str | None:
    """The column by which the rows of a merged file lie, so that what stays the same lies together."""
    return next((key for key in table.keys if key.endswith("_id")), next(iter(table.keys), None))


def crowded(delta: deltalake.DeltaTable) -> dict[str, list[str]]:
    """The days whose files should become one, with them: past days soon, the present one at times."""
    days: dict[str, list[str]] = {}
    for uri in delta.file_uris():
        days.setdefault(_partition(uri), []).append(unquote(uri))
    newest = max(days, default="")
    return {
        day: files for day, files in days.items() if len(files) >= (FILES_OF_TODAY if day == newest else 2)
    }


def checkpoint(delta: deltalake.DeltaTable, location: Path) -> None:
    """Sum up the log of a table where many commits have come since that was last done."""
    try:
        text = (location / "_delta_log" / "_last_checkpoint").read_text(encoding="utf-8")
        last = int(json.loads(text)["version"])
    except (OSError, ValueError, KeyError):
        last = 0
    if delta.version() - last >= COMMITS_BEFORE_CHECKPOINT:
        delta.create_checkpoint()


def _partition(uri: str) -> str:
    """The day that a file belongs to; empty in a table without partitions."""
    return uri.rpartition("_date=")[2].partition("/")[0] if "_date=" in uri else ""


def replace_text(path: Path, text: str) -> None:
    """Write a file so that readers see the old text or the new."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
