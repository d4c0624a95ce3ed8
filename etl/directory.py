"""A lake in a directory: files that are swapped in, and locks of the system, which end with their process."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO

import duckdb

from etl.errors import DemeterError, LakeBusy, UsageError
from etl.places import Found

SHORT_WHILE_SECONDS = 0.1  # longer than it takes to look whether a lock is held, which holds it too


@contextmanager
def private() -> Iterator[None]:
    """Make every file for its owner alone meanwhile, whichever library writes it."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def to_replace(path: Path) -> Path:
    """The file that a path stands for, links followed; OSError where a device or the like is there."""
    found = path.resolve()
    if found.exists() and not found.is_file():
        raise OSError(errno.EINVAL, "it is no file")
    return found


def replace_text(path: Path, text: str) -> None:
    """Write a file so that readers see the old text or the new."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new."""
    path.parent.mkdir(exist_ok=True)
    temporary = _beside(path)
    temporary.write_bytes(content)
    temporary.replace(path)


class Directory:
    """What keeps the files of a lake in a directory."""

    tears = True
    options: dict[str, str] | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = str(path)
        self.spill = path / "tmp"

    def prepare(self) -> None:
        """Make the directory, for its owner alone; UsageError where a file is in its way."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"the lake {self.path} is a file: give a directory with DEMETER_LAKE")
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def uri(self, name: str) -> str:
        """The path of a file or a folder."""
        return str(self.path / name)

    def name(self, uri: str) -> str:
        """The file or the folder of a path."""
        return Path(uri).relative_to(self.path).as_posix()

    def read(self, name: str) -> bytes:
        """What is in a file; FileNotFoundError where there is none."""
        return (self.path / name).read_bytes()

    def tag(self, name: str) -> str:
        """The digest of a small file; empty where there is none."""
        try:
            return sha256(self.read(name)).hexdigest()
        except FileNotFoundError:
            return ""

    def open(self, name: str) -> IO[bytes]:
        """A file to read; FileNotFoundError where there is none."""
        return (self.path / name).open("rb")

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that readers see the old content or the new."""
        replace_bytes(self.path / name, content)

    def swap(self, name: str, tag: str, content: bytes) -> str | None:
        """The same where the file still has that digest: who writes holds a lock, so none comes between."""
        if self.tag(name) != tag:
            return None
        self.write(name, content)
        return sha256(content).hexdigest()

    def draft(self, name: str) -> Path:
        """The path of a hidden file beside the one that is being written."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        return _beside(self.path / name)

    def put(self, draft: Path, name: str) -> None:
        """Let a file that was written take its place."""
        draft.replace(self.path / name)

    def landing(self, name: str) -> Path:
        """The directory of a folder: what is landed is where it belongs."""
        return self.path / name

    def landed(self, name: str) -> list[str]:
        """None: what is landed is where it belongs."""
        return []

    def deliver(self, name: str) -> None:
        """Nothing: whoever landed the files has made them durable."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def clear(self, name: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        if (self.path / name).is_dir():
            shutil.rmtree(self.path / name)

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.path / name).is_file()

    def size(self, name: str) -> int:
        """The bytes of a file; FileNotFoundError where there is none."""
        return (self.path / name).stat().st_size

    def find(self, name: str, deep: bool = True) -> Iterator[Found]:
        """The files in a folder, or also in all folders below, by name; no link to a folder is followed."""
        try:
            entries = sorted(os.scandir(self.path / name), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            below = f"{name}/{entry.name}" if name else entry.name
            if deep and entry.is_dir(follow_symlinks=False):
                yield from self.find(below)
            elif not entry.is_dir():
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield Found(below, status.st_size, modified_at, entry.is_symlink())

    def folders(self, name: str) -> list[str]:
        """What the directories right below a folder are called."""
        try:
            return [entry.name for entry in os.scandir(self.path / name) if entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def tables(self, name: str) -> list[str]:
        """What the directories right below a folder are called that hold the log of a Delta table."""
        return [each for each in self.folders(name) if (self.path / name / each / "_delta_log").is_dir()]

    def is_link(self, name: str) -> bool:
        """Whether a directory is a link."""
        return (self.path / name).is_symlink()

    @contextmanager
    def lock(self, name: str, wait: bool, seconds: float) -> Iterator[None]:
        """Hold a lock; where another run holds it, wait for it, or so long, or raise LakeBusy."""
        path = self.path / "locks" / f"{name}.lock"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        until = time.monotonic() + max(seconds, SHORT_WHILE_SECONDS)
        with path.open("a", encoding="utf-8") as file:
            while not _is_taken(file, wait):
                if time.monotonic() > until:
                    raise LakeBusy(f"another run holds {name} of this lake: wait for it to end")
                time.sleep(SHORT_WHILE_SECONDS)
            yield

    def is_held(self, name: str) -> bool:
        """Whether a run holds a lock."""
        path = self.path / "locks" / f"{name}.lock"
        if not path.exists():
            return False
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def fence(self) -> None:
        """Nothing: a lock of the system is held until its process ends."""

    def attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Nothing: DuckDB reads files by itself."""

    def failure(self, reason: str) -> DemeterError:
        """The error that says what to do where nothing can be written any more, for that reason."""
        return UsageError(
            f"the lake {self.path} cannot be written: {reason}; nothing is lost: mend that, then run "
            "this again"
        )


def _beside(path: Path) -> Path:
    """The hidden file that becomes another one."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def _is_taken(file: IO[str], wait: bool) -> bool:
    """Take the lock that a file is; False where another run holds it, unless this one is to wait."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
