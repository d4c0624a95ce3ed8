"""A lake in a bucket of an object store: each file is an object, which is written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import duckdb
import platformdirs

from etl.errors import DemeterError, ServiceUnavailable, UsageError
from etl.leases import Leases
from etl.objects import Objects
from etl.places import Found
from etl.ranges import Files, Kept

IN_MEMORY_BYTES = 8_000_000  # of a file that is read; more go to this machine's disk


class Bucket:
    """What keeps the files of a lake in an object store.

    What cannot be written there bit by bit is written on this machine first, below the user's cache.
    """

    tears = False

    def __init__(self, address: str) -> None:
        self.objects = Objects(address)
        self.address = self.objects.address
        self._here = platformdirs.user_cache_path("demeter") / sha256(self.address.encode()).hexdigest()[:16]
        self.spill = self._here / "tmp"
        self._kept = Kept(self.objects)
        self._leases = Leases(self.objects)
        self._sizes: dict[str, int] = {}

    @property
    def options(self) -> dict[str, str] | None:
        """What Delta is given to read and write here, with the credentials of now."""
        return self.objects.options

    def prepare(self) -> None:
        """Make room on this machine; UsageError where the store does not keep what a lake rests on."""
        self.spill.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._is_safe:
            raise UsageError(
                f"the object store of {self.address} ignores the conditions of a write (If-None-Match and "
                "If-Match), so two runs would undo each other's work: take one that honours them"
            )

    @cached_property
    def _is_safe(self) -> bool:
        """Whether the store refuses to write what is there, or has changed, where it is asked to."""
        name = f"locks/probe-{uuid4().hex}"
        try:
            tag = self.objects.put_if(name, "", b"first")
            again = self.objects.put_if(name, "", b"second")
            changed = self.objects.put_if(name, f'"{"0" * 32}"', b"third")
            return bool(tag) and again is None and changed is None
        finally:
            self.objects.delete(name)

    def uri(self, name: str) -> str:
        """The URL of a file or a folder."""
        return f"{self.address}/{name}" if name else self.address

    def name(self, uri: str) -> str:
        """The file or the folder of a URL."""
        return uri.removeprefix(f"{self.address}/")

    def read(self, name: str) -> bytes:
        """What is in a file; FileNotFoundError where there is none."""
        return self.objects.get(name)[0]

    def tag(self, name: str) -> str:
        """What the store tells the content of a file apart by; empty where there is none."""
        try:
            return self.objects.head(name)[1]
        except FileNotFoundError:
            return ""

    def open(self, name: str) -> IO[bytes]:
        """A file to read, on this machine; FileNotFoundError where there is none."""
        self.spill.mkdir(parents=True, exist_ok=True, mode=0o700)
        file: IO[Any] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(self.spill))  # noqa: SIM115
        self.objects.copy(name, file)
        file.seek(0)
        return file

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that readers see the old content or the new."""
        self.objects.put(name, content)
        self._kept.forget(name)

    def swap(self, name: str, tag: str, content: bytes) -> str | None:
        """The same where the file still has that tag: the tag that it then has; None where it has not."""
        return self.objects.put_if(name, tag, content)

    def draft(self, name: str) -> Path:
        """The path on this machine of a file that is being written."""
        drafts = self.spill / "queries"
        drafts.mkdir(parents=True, exist_ok=True, mode=0o700)
        return drafts / f"{uuid4().hex}-{name.rpartition('/')[2]}"

    def put(self, draft: Path, name: str) -> None:
        """Put a file that was written on this machine."""
        self.objects.upload(draft, name)
        self._kept.forget(name)
        draft.unlink()

    def landing(self, name: str) -> Path:
        """The directory on this machine where the files of a folder are landed."""
        return self._here / name

    def landed(self, name: str) -> list[str]:
        """What the directories are called that were landed in a folder and not delivered."""
        return sorted(path.name for path in self.landing(name).glob("*") if path.is_dir())

    def deliver(self, name: str) -> None:
        """Put all files that were landed in a folder, whose name is no other's, and remove them here."""
        self.fence()
        for path in sorted(self.landing(name).iterdir()):
            self.objects.upload(path, f"{name}/{path.name}")
        shutil.rmtree(self.landing(name))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.objects.delete(name)
        self._kept.forget(name)

    def clear(self, name: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        for each in list(self.objects.list(name)):
            self.remove(each.name)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return bool(self.tag(name))

    def size(self, name: str) -> int:
        """The bytes of a file of a table; those of all its files are asked for at once."""
        if name not in self._sizes:
            folder = "/".join(name.split("/")[:2])
            self._sizes |= {each.name: each.size for each in self.objects.list(folder)}
        if name not in self._sizes:
            raise FileNotFoundError(self.uri(name))
        return self._sizes[name]

    def find(self, name: str, deep: bool = True) -> Iterator[Found]:
        """The files in a folder, or also in all folders below, by name."""
        return self.objects.list(name, deep)

    def folders(self, name: str) -> list[str]:
        """What the folders right below a folder are called."""
        return list(self.objects.folders(name))

    def tables(self, name: str) -> list[str]:
        """What the folders right below a folder are called that hold the log of a Delta table."""
        return [each for each in self.folders(name) if any(self.objects.list(f"{name}/{each}/_delta_log"))]

    def is_link(self, name: str) -> bool:
        """No: there are none."""
        return False

    def lock(self, name: str, wait: bool, seconds: float) -> AbstractContextManager[None]:
        """Hold a lock; where another run holds it, wait for it, or so long, or raise LakeBusy."""
        self.prepare()
        return self._leases.hold(name, wait, seconds)

    def is_held(self, name: str) -> bool:
        """Whether any run holds a lock."""
        return self._leases.is_held(name)

    def fence(self) -> None:
        """Raise LakeBusy where a lock that this run holds was lost to another, so that it must not write."""
        self._leases.fence()

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read files by their URL."""
        connection.register_filesystem(Files(self.objects, self._kept))

    def failure(self, reason: str) -> DemeterError:
        """The error that says what to do where nothing can be written any more, for that reason."""
        return ServiceUnavailable(
            f"the lake {self.address} cannot be written: {reason}; nothing is lost: run this again later"
        )
