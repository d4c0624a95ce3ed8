"""Locks in an object store: an object says who holds one, and is written again and again for as long.

Ages are by the clock of the store alone, which says when the object was written and what time it is. A
lease that was not renewed for as long as it says may be taken over by who has seen it so, and by no
other: each renewal changes the tag that the taking over asks for.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from etl.errors import DemeterError, LakeBusy
from etl.objects import Objects, Stamped

log = logging.getLogger("demeter")

SECONDS = 60.0  # after which the lease of a killed run is free
MARGIN_SECONDS = 1.0  # by which the store tells times
RENEWALS = 4  # in that time
FRESH = 0.03  # of it: who renewed so short a while ago need not do so again before a commit
LOOK_SECONDS = 0.5  # between two looks at a lease that another holds


@dataclass(frozen=True)
class Holder:
    """What the object of a lease says: who holds it, and for how long unless it is renewed."""

    run: str
    host: str
    process: int
    taken_at: str
    seconds: float
    renewals: int = 0

    def text(self) -> bytes:
        """The object; no two are alike, of one run or of several."""
        return (json.dumps(asdict(self)) + "\n").encode()

    @property
    def who(self) -> str:
        """The holder as people know it."""
        return f"process {self.process} of {self.host}, since {self.taken_at}"


class Lease:
    """A lock that this run holds, once it is taken."""

    def __init__(self, objects: Objects, name: str) -> None:
        self.name = name
        self._objects, self._path = objects, f"locks/{name}.lock"
        self._holder = _this_run()
        self._tag = ""
        self._until = 0.0
        self._busy = threading.Lock()
        self._over = threading.Event()
        self._renewal = threading.Thread(target=self._keep, name=f"lease-{name}", daemon=True)

    def take(self) -> Holder | None:
        """Take the lease, and renew it from now on; where another holds it, that one."""
        known = seen(self._objects, self.name)
        if known and (other := holder(known)):
            return other
        began = _now()
        taken = self._objects.put_if(self._path, known.tag if known else "", self._holder.text())
        if taken is None:
            return _UNKNOWN
        self._tag, self._until = taken, began + self._holder.seconds
        self._renewal.start()
        return None

    def fence(self) -> None:
        """Hold it for as long again, or nearly; LakeBusy where another took it over, or may have."""
        if self._until - _now() < self._holder.seconds * (1 - FRESH):
            self.renew()

    def renew(self) -> None:
        """Hold it for as long again; LakeBusy where another took it over, or may have."""
        with self._busy:
            began, again = _now(), replace(self._holder, renewals=self._holder.renewals + 1)
            if began < self._until:
                tag = self._objects.put_if(self._path, self._tag, again.text())
                if tag:
                    self._holder, self._tag, self._until = again, tag, began + again.seconds
                    return
            self._until = 0.0
        raise LakeBusy(f"this run lost {self.name} of this lake to another, for it stood still: run it again")

    def release(self) -> None:
        """Let go of it, if it is still held."""
        self._over.set()
        self._renewal.join()
        with self._busy:
            if _now() < self._until:
                free = replace(self._holder, seconds=0.0, renewals=self._holder.renewals + 1)
                self._objects.put_if(self._path, self._tag, free.text())

    def _keep(self) -> None:
        """Renew it in time, until it is over or lost; where the store gives out, it is tried again."""
        while not self._over.wait(self._holder.seconds / RENEWALS):
            try:
                self.renew()
            except LakeBusy as error:
                log.warning("%s", error)
                return
            except DemeterError as error:
                log.info("the lease of %s could not be renewed: %s", self.name, error)


class Leases:
    """The locks of a lake, of which this run holds some."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._held: list[Lease] = []

    @contextmanager
    def hold(self, name: str, wait: bool, seconds: float) -> Iterator[None]:
        """Hold a lock; where another run holds it, wait for it, or so long, or raise LakeBusy."""
        lease = self._taken(name, wait, time.monotonic() + seconds)
        self._held.append(lease)
        try:
            yield
        finally:
            self._held.remove(lease)
            try:
                lease.release()
            except DemeterError as error:
                # What was done is done; the lease ends by itself.
                log.info("the lease of %s could not be given back: %s", name, error)

    def fence(self) -> None:
        """Raise LakeBusy where a lock was lost; else each is held for as long as a lease is, from now on."""
        for lease in list(self._held):
            lease.fence()

    def is_held(self, name: str) -> bool:
        """Whether any run holds a lock."""
        known = seen(self._objects, name)
        return bool(known and holder(known))

    def _taken(self, name: str, wait: bool, until: float) -> Lease:
        while True:
            lease = Lease(self._objects, name)
            other = lease.take()
            if other is None:
                return lease
            if not wait and time.monotonic() > until:
                raise LakeBusy(
                    f"another run holds {name} of this lake ({other.who}): wait for it to end, or, if it was "
                    f"killed, for {other.seconds:g} seconds"
                )
            time.sleep(LOOK_SECONDS)


def seen(objects: Objects, name: str) -> Stamped | None:
    """The object of a lock; None where it was never taken."""
    try:
        return objects.stamped(f"locks/{name}.lock")
    except FileNotFoundError:
        return None


def holder(known: Stamped) -> Holder | None:
    """Who holds a lock; None where nobody does any more, or the object does not say who."""
    try:
        found = Holder(**json.loads(known.content.decode()))
    except (ValueError, TypeError):
        return None
    return found if found.seconds and known.age_seconds <= found.seconds + MARGIN_SECONDS else None


def _now() -> float:
    """Seconds that pass while this machine sleeps, too, where it can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _this_run() -> Holder:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(uuid4().hex, socket.gethostname(), os.getpid(), now, SECONDS)


_UNKNOWN = Holder("", "another machine", 0, "just now", SECONDS)
