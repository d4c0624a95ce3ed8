"""Lets DuckDB read the files of an object store, which it asks for by name: nothing is listed for it."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from etl.objects import Objects

WHOLE_BYTES = 4_000_000  # a file of at most so many is got by one request, and kept for a while
KEPT_BYTES = 64_000_000  # of such files
WRITTEN = datetime(2000, 1, 1, tzinfo=UTC)  # a name stands for the same content for good


class Kept:
    """The beginnings of files that were read lately, each with the size of its file."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._found: OrderedDict[str, tuple[bytes, int]] = OrderedDict()
        self._lock = threading.Lock()

    def beginning(self, name: str) -> tuple[bytes, int]:
        """The first bytes of a file and how many it has; FileNotFoundError where there is none."""
        with self._lock:
            if name in self._found:
                self._found.move_to_end(name)
                return self._found[name]
        found = self._objects.get(name, WHOLE_BYTES)
        with self._lock:
            self._found[name] = found
            while sum(len(content) for content, _ in self._found.values()) > KEPT_BYTES:
                self._found.popitem(last=False)
        return found

    def forget(self, name: str) -> None:
        """Read a file anew from now on."""
        with self._lock:
            self._found.pop(name, None)


class Files(AbstractFileSystem):  # type: ignore[misc]
    """The files of a lake as DuckDB opens them."""

    protocol = "s3"
    cachable = False

    def __init__(self, objects: Objects, kept: Kept) -> None:
        super().__init__()
        self._objects, self._kept = objects, kept

    def glob(self, path: str, **_: Any) -> list[str]:
        """The file of that name; DuckDB is given no patterns."""
        return [path]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """The size of a file."""
        return {"name": path, "type": "file", "size": self._kept.beginning(self._name(path))[1]}

    def modified(self, path: str) -> datetime:
        """When a file was written, which is of no matter."""
        return WRITTEN

    def open(self, path: str, mode: str = "rb", **_: Any) -> Opened:
        """A file to read anywhere in it."""
        if mode != "rb":
            raise PermissionError(f"{path} is only read")
        name = self._name(path)
        return Opened(self._objects, name, *self._kept.beginning(name))

    def _name(self, path: str) -> str:
        below = self._objects.address.removeprefix("s3://") + "/"
        return path.removeprefix("s3://").removeprefix(below)


class Opened:
    """A file that is read in parts, by several threads of DuckDB, each of which goes where it likes."""

    def __init__(self, objects: Objects, name: str, beginning: bytes, size: int) -> None:
        self._objects, self._name = objects, name
        self._beginning, self._size = beginning, size
        self._of_thread = threading.local()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Let this thread go to a byte, counted from the beginning, from where it is or from the end."""
        self._of_thread.at = (
            offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        )
        return self.tell()

    def tell(self) -> int:
        """Where this thread reads next."""
        return int(getattr(self._of_thread, "at", 0))

    def read(self, count: int = -1) -> bytes:
        """So many bytes from there on, all that are left for -1."""
        start = self.tell()
        stop = self._size if count < 0 else min(start + count, self._size)
        if stop <= start:
            return b""
        is_here = stop <= len(self._beginning)
        found = self._beginning[start:stop] if is_here else self._objects.part(self._name, start, stop)
        self._of_thread.at = start + len(found)
        return found

    def seekable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Nothing is held open."""
