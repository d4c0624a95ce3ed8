"""The lake: tidy tables as Delta tables, and the row in `sweeps` that commits a sweep.

Delta commits one table at a time. A sweep therefore writes its rows first and its row in `sweeps`
last, and every reader takes only rows of sweeps that are in `sweeps`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import deltalake
import duckdb
import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from etl import damage, stores
from etl.columns import quoted
from etl.compaction import HOOKS, WRITER, checkpoint, crowded, day_of, is_long, merge, sorted_by
from etl.damage import table_at
from etl.dictionary import TABLES, Table, all_columns, table
from etl.errors import LakeBusy, UsageError
from etl.places import Place

VERSION = 1
MARKER = "demeter.json"
MOST_CONFLICTS = 20  # of a commit with deletions by others

# What the disk refuses comes from Python, from Delta's writers and, in several kinds, from DuckDB.
DISK_ERRORS = (
    OSError,
    DeltaError,
    duckdb.IOException,
    duckdb.TransactionException,
    duckdb.FatalException,
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


def schema(table: Table) -> pa.Schema:
    """The Arrow schema of a tidy table."""
    return pa.schema([(column.name, ARROW_TYPES[column.sql_type]) for column in all_columns(table)])


class Lake:
    """A lake in a local directory, or in an object store."""

    def __init__(self, path: str | Path) -> None:
        self.store = stores.of(path)
        self.root = Place(self.store)
        self._tables: dict[str, deltalake.DeltaTable] = {}
        self._options = self.store.options

    @property
    def is_directory(self) -> bool:
        """Whether the lake is in a directory, and not in an object store."""
        return "://" not in self.store.address

    @property
    def path(self) -> Path:
        """The directory of the lake; UsageError where it is in none."""
        if not self.is_directory:
            raise UsageError(f"the lake {self} is in no directory: ask it by SQL, or read its Delta tables")
        return Path(self.store.address)

    def __str__(self) -> str:
        return self.store.address

    def place(self, path: str) -> Place:
        """A file or a folder of the lake."""
        return self.root / path

    def create(self) -> None:
        """Make what is missing of the lake: the directories and every table, empty."""
        try:
            self.store.prepare()
            # What spills makes a directory in it, but none above that.
            self.spill("").mkdir(parents=True, exist_ok=True, mode=0o700)
            self._check_version()
            there = set(self.store.folders("tables"))
            for each in TABLES:
                if each.name not in there or not self._is_whole(each.name):
                    self._create_table(each)
            marker = json.dumps({"version": VERSION}) + "\n"
            if self.store.tears or not (self.root / MARKER).exists():
                (self.root / MARKER).replace(marker)
        except (OSError, DeltaError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
            raise UsageError(
                f"the lake {self} cannot be written: {reason}; mend that, or "
                "give another one with DEMETER_LAKE"
            ) from None

    def is_there(self) -> bool:
        """Whether there is a lake."""
        return (self.root / MARKER).exists()

    def check(self) -> None:
        """Raise UsageError unless this is a lake that this version can read."""
        if not self.is_there():
            raise UsageError(f"there is no lake at {self}: run `demeter sweep`, or set DEMETER_LAKE")
        self._check_version()

    def location(self, name: str) -> Place:
        """The folder of a table."""
        return self.root / "tables" / name

    def raw(self, project_id: str) -> Place:
        """The folder of the raw pages of a project, one folder a sweep."""
        return self.root / "raw" / project_id

    def spill(self, project_id: str) -> Path:
        """The directory that a sweep of the project, or `queries`, may fill when memory does not suffice."""
        return self.store.spill / project_id

    def delta(self, name: str) -> deltalake.DeltaTable:
        """The table as of now."""
        if self._options != self.store.options:
            # Credentials that are lent for some time were renewed.
            self._tables, self._options = {}, self.store.options
        if name not in self._tables:
            damage.check_log(self.location(name))
            self._tables[name] = table_at(self.location(name))
        elif not self._is_newest(name, self._tables[name].version()):
            self._tables[name].update_incremental()
        return self._tables[name]

    def _is_newest(self, name: str, version: int) -> bool:
        """Whether no later version of a table was committed, as far as the names of its log tell."""
        log = self.location(name) / "_delta_log"
        if not (log / f"{version:020}.json").exists():
            return False  # The log was cut beyond it, or the table was put back from a backup.
        return not (log / f"{version + 1:020}.json").exists()

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read the files of the lake."""
        self.store.attach(connection)

    def size(self, uri: str) -> int:
        """The bytes of a file of a table; FileNotFoundError where it is gone."""
        return self.store.size(self.store.name(uri))

    def files(self, name: str, since: date | None = None, version: int | None = None) -> list[str]:
        """The files of a version of the table, the present one unless given, of the days from `since` on."""
        first = since.isoformat() if since else ""
        delta = self.delta(name) if version is None else self._delta_at(name, version)
        return sorted(unquote(uri) for uri in delta.file_uris() if day_of(uri) >= first)

    def days(self, name: str, version: int | None = None) -> dict[date, list[str]]:
        """The files of each day of a version of a table that is kept by day, the present one unless given."""
        found: dict[date, list[str]] = {}
        delta = self.delta(name) if version is None else self._delta_at(name, version)
        for uri in sorted(delta.file_uris()):
            found.setdefault(date.fromisoformat(day_of(uri)), []).append(unquote(uri))
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
                deltalake.write_deltalake(
                    self.delta(name),
                    added,
                    mode="append",
                    writer_properties=WRITER,
                    post_commithook_properties=HOOKS,
                )
                return
            # Rows were deleted meanwhile, which Delta takes for a conflict; what is added rests on none.
            self.delta(name).update_incremental()
        raise LakeBusy(f"others change {name} of this lake again and again: run this again later")

    def replace(self, name: str, project_id: str, since: str, rows: pa.RecordBatchReader) -> None:
        """Put rows in the place of those that the sweeps of a project wrote since the given one."""
        self.store.fence()
        deltalake.write_deltalake(
            self.delta(name),
            rows,
            mode="overwrite",
            predicate=f"project_id = {quoted(project_id)} and sweep_id >= {quoted(since)}",
            writer_properties=WRITER,
            post_commithook_properties=HOOKS,
        )

    def commit(self, sweep_id: str, project_id: str, rows: Iterable[tuple[str, Rows]]) -> None:
        """Write the rows of a sweep, a table at a time; the last is its row in `sweeps`, which shows them."""
        marker = self._marker(project_id)
        self.store.fence()
        marker.replace(sweep_id)
        for name, table_rows in rows:
            self.store.fence()
            self.append_batches(name, table_rows)
        marker.remove()

    def clean_up(self, project_id: str) -> None:
        """Remove what a run of the project that was killed left, but for its pages, which are kept."""
        pages = self.raw(project_id).path
        for landed in self.store.landed(pages):
            self.store.deliver(f"{pages}/{landed}")
        shutil.rmtree(self.spill(project_id), ignore_errors=True)
        sweep_id = self.killed(project_id)
        if sweep_id:
            with self.lock("house", wait=True):
                for each in TABLES:
                    self.delta(each.name).delete(
                        f"sweep_id = {quoted(sweep_id)}", post_commithook_properties=HOOKS
                    )
        self._marker(project_id).remove()

    def killed(self, project_id: str) -> str:
        """The sweep of the project that began to write and is not committed; empty where there is none."""
        try:
            sweep_id = self._marker(project_id).read().decode()
        except FileNotFoundError:
            return ""
        committed = self.delta("sweeps").to_pyarrow_table(columns=["sweep_id"])["sweep_id"].to_pylist()
        return "" if sweep_id in committed else sweep_id

    def keep_house(self) -> None:
        """Compact and checkpoint where commits have piled up, so that later sweeps stay as fast."""
        for each in TABLES:
            self.keep(each.name)

    def keep(self, name: str) -> None:
        """Compact and checkpoint one table where commits have piled up."""
        delta = self.delta(name)
        if not (crowded(delta) or is_long(delta, self.location(name))):
            return
        with self.lock("house", wait=True):
            merge(self.delta(name), sorted_by(table(name)))
            checkpoint(self.delta(name), self.location(name))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Raise the error that says what to mend where no more can be written of what is done inside."""
        try:
            with damage.named(self.root):
                yield
        except duckdb.OutOfMemoryException as error:
            raise UsageError(
                f"{str(error).partition(chr(10))[0]}; nothing is lost: give more memory with DEMETER_MEMORY, "
                "or more space to the lake, then run this again"
            ) from error
        except DISK_ERRORS as error:
            reason = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
            raise self.store.failure(reason) from error

    def lock(self, name: str, wait: bool = False, seconds: float = 0.0) -> AbstractContextManager[None]:
        """Hold the lock of that name; where another run holds it, wait for it, or so long, or raise LakeBusy.

        It ends with its process, however that ends, at once or a short while later.
        """
        return self.store.lock(name, wait, seconds)

    def is_held(self, name: str) -> bool:
        """Whether another run holds the lock of that name."""
        return self.store.is_held(name)

    def _delta_at(self, name: str, version: int) -> deltalake.DeltaTable:
        damage.check_log(self.location(name))
        return table_at(self.location(name), version)

    def _marker(self, project_id: str) -> Place:
        """The file that names the sweep of a project which is being written."""
        return self.root / "locks" / f"{project_id}.writing"

    def projects(self) -> list[str]:
        """The projects of which a run may have left something behind: spilled files, or a note."""
        noted = {
            each.name.removesuffix(".writing")
            for each in (self.root / "locks").files(deep=False)
            if each.name.endswith(".writing")
        }
        spilled = {path.name for path in self.spill("").glob("*") if path.name != "queries"}
        return sorted(noted | spilled | set(self.store.landed("raw")))

    def _is_whole(self, name: str) -> bool:
        """Whether a table that was begun has its first commit."""
        return not self.store.tears or deltalake.DeltaTable.is_deltatable(self.location(name).uri)

    def _create_table(self, table: Table) -> None:
        place, options = self.location(table.name), self.store.options
        try:
            deltalake.DeltaTable.create(
                place.uri,
                schema=deltalake.Schema.from_arrow(schema(table)),
                partition_by=None if table.owner == "log" else ["observed_date"],
                mode="ignore",
                storage_options=options,
            )
        except DeltaError:
            # Another run that begins may have made it meanwhile.
            if not deltalake.DeltaTable.is_deltatable(place.uri, options):
                raise

    def _check_version(self) -> None:
        """Raise UsageError for a lake of a newer version."""
        try:
            version = damage.read(self.root / MARKER, lambda values: int(values["version"]))
        except FileNotFoundError:
            return
        if version > VERSION:
            raise UsageError(
                f"the lake {self} is of version {version} and this demeter knows {VERSION}: upgrade demeter"
            )
