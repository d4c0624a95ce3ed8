"""Where the files of a lake are: a place is one of them, or a folder, in a directory or an object store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

import duckdb

from etl.errors import DemeterError


@dataclass(frozen=True)
class Found:
    """A file that is there: its name below the lake, its bytes, when it was written, and if it is a link."""

    name: str
    size: int
    modified_at: datetime
    is_link: bool = False


class Store(Protocol):
    """What keeps the files of a lake; each is named by its path below the lake, with slashes.

    `address` is what people call the lake by, `spill` the directory of this machine for what memory does not
    hold, `options` what Delta needs to get there, and `tears` says that a killed writer leaves half a file.
    """

    address: str
    spill: Path
    tears: bool

    @property
    def options(self) -> dict[str, str] | None:
        """What Delta is given to read and write here."""

    def prepare(self) -> None:
        """Make what has to be there before a first file; UsageError where nothing can be kept safely."""

    def uri(self, name: str) -> str:
        """What Delta and DuckDB know a file or a folder by."""

    def name(self, uri: str) -> str:
        """The file or the folder that they know by that."""

    def read(self, name: str) -> bytes:
        """What is in a file; FileNotFoundError where there is none."""

    def tag(self, name: str) -> str:
        """What changes whenever the file is written otherwise; empty where there is none."""

    def open(self, name: str) -> IO[bytes]:
        """A file to read from its beginning to its end; FileNotFoundError where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that readers see the old content or the new."""

    def swap(self, name: str, tag: str, content: bytes) -> str | None:
        """The same where the file still has that tag: the tag that it then has; None where it has not."""

    def draft(self, name: str) -> Path:
        """The path on this machine of a file that is being written, for `put`."""

    def put(self, draft: Path, name: str) -> None:
        """Let a file that was written on this machine take its place."""

    def landing(self, name: str) -> Path:
        """The directory on this machine where the files of a folder are landed, for `deliver`."""

    def landed(self, name: str) -> list[str]:
        """What the folders are called that a killed run landed in a folder, and did not deliver."""

    def deliver(self, name: str) -> None:
        """Make all that was landed in a folder durable."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def clear(self, name: str) -> None:
        """Remove a folder with all that is in it, if it is there."""

    def exists(self, name: str) -> bool:
        """Whether a file is there."""

    def size(self, name: str) -> int:
        """The bytes of a file that is never written again; FileNotFoundError where there is none."""

    def find(self, name: str, deep: bool = True) -> Iterator[Found]:
        """The files in a folder, or also in all folders below, by name; no link to a folder is followed."""

    def folders(self, name: str) -> list[str]:
        """What the folders right below a folder are called."""

    def tables(self, name: str) -> list[str]:
        """What the folders right below a folder are called that hold a Delta table."""

    def is_link(self, name: str) -> bool:
        """Whether a folder leads elsewhere."""

    def lock(self, name: str, wait: bool, seconds: float) -> AbstractContextManager[None]:
        """Hold a lock; where another run holds it, wait for it, or so long, or raise LakeBusy."""

    def is_held(self, name: str) -> bool:
        """Whether a run holds a lock."""

    def fence(self) -> None:
        """Raise LakeBusy where a lock that this run holds was lost to another, so that it must not write."""

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read files by their URI."""

    def failure(self, reason: str) -> DemeterError:
        """The error that says what to do where nothing can be written any more, for that reason."""


@dataclass(frozen=True)
class Place:
    """A file or a folder of a lake."""

    store: Store
    path: str = ""

    def __truediv__(self, below: str) -> Place:
        return Place(self.store, f"{self.path}/{below}" if self.path else below)

    def __str__(self) -> str:
        return f"{self.store.address}/{self.path}" if self.path else self.store.address

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Place:
        """The folder that it is in."""
        return Place(self.store, self.path.rpartition("/")[0])

    @property
    def uri(self) -> str:
        """What Delta and DuckDB know it by."""
        return self.store.uri(self.path)

    def read(self) -> bytes:
        """What is in the file; FileNotFoundError where there is none."""
        return self.store.read(self.path)

    def json(self) -> Any:
        """What the file says in JSON; ValueError where it is none."""
        return json.loads(self.read().decode())

    def open(self) -> IO[bytes]:
        """The file to read from its beginning to its end; FileNotFoundError where there is none."""
        return self.store.open(self.path)

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.store.exists(self.path)

    def replace(self, text: str) -> None:
        """Write the file so that readers see the old text or the new."""
        self.store.write(self.path, text.encode())

    def tag(self) -> str:
        """What changes whenever the file is written otherwise; empty where there is none."""
        return self.store.tag(self.path)

    def swap(self, text: str, tag: str) -> str | None:
        """Write the file where it still has that tag: the tag that it then has; None where it has not."""
        return self.store.swap(self.path, tag, text.encode())

    def remove(self) -> None:
        """Remove the file, if it is there."""
        self.store.remove(self.path)

    def clear(self) -> None:
        """Remove the folder with all that is in it, if it is there."""
        self.store.clear(self.path)

    def files(self, deep: bool = True) -> Iterator[Place]:
        """The files in the folder, by name, and unless told otherwise in all folders below."""
        return (Place(self.store, each.name) for each in self.store.find(self.path, deep))

    def sizes(self, deep: bool = True) -> dict[Place, Found]:
        """The same files but for links, with what is known of each."""
        found = self.store.find(self.path, deep)
        return {Place(self.store, each.name): each for each in found if not each.is_link}

    def folders(self) -> list[Place]:
        """The folders right below the folder, by name."""
        return [self / each for each in sorted(self.store.folders(self.path))]

    def tables(self) -> list[Place]:
        """The Delta tables right below the folder, by name."""
        return [self / each for each in sorted(self.store.tables(self.path))]

    def is_link(self) -> bool:
        """Whether the folder leads elsewhere."""
        return self.store.is_link(self.path)

    @contextmanager
    def drafted(self) -> Iterator[Path]:
        """The path on this machine to write the file at, which takes its place when all went well."""
        draft = self.store.draft(self.path)
        try:
            yield draft
            self.store.put(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)
