"""Spaces requests out, over all threads of a run and, by small files, over all its processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit


class Pace:
    """Gives requests their turns, `per_second` of them to a server; safe to share between threads.

    With a folder, all that are given the same one share the turns, in whichever process they are. Its files
    hold times since the machine was started, so that it serves for one run.
    """

    def __init__(
        self, per_second: float, folder: Path | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval, self._folder, self._now = 1 / per_second, folder, now
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, url: str) -> float:
        """How long a request of this URL has to wait for its turn, which is taken by asking."""
        server = urlsplit(url).netloc.lower()
        with self._lock:
            return self._shared(server) if self._folder else self._own(server)

    def _own(self, server: str) -> float:
        now = self._now()
        turn = max(now, self._next.get(server, 0.0))
        self._next[server] = turn + self._interval
        return turn - now

    def _shared(self, server: str) -> float:
        """The turn by the file of a server; a process that is killed lets go of its lock."""
        name = hashlib.sha256(server.encode()).hexdigest()[:16]
        with open(os.open(f"{self._folder}/{name}", os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text, now = file.read(), self._now()
            turn = max(now, float(text or 0))
            file.seek(0)
            file.write(b"%032.9f" % (turn + self._interval))
        return turn - now
