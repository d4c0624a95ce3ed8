"""The stages of a run, one inside the other: what each is about, and when it began and ended.

The log says with every line what its stage is about, and a trace is made of the stages. Each thread is in
a stage of its own, unless it is begun in a copy of the context that it is to be in.
"""

from __future__ import annotations

import logging
import resource
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

log = logging.getLogger("demeter")

Value = str | int | float | bool


@dataclass
class Stage:
    """A stage of a run and those inside it; `about` is what it is about, `found` what came of it, `error`
    what ended it early. Times are in nanoseconds since 1970, by this machine's clock. `spent` has seconds by
    what was done in it many times; threads may have done it side by side. What one that `is_apart` is about
    is not what those around it are about."""

    name: str
    about: dict[str, Value]
    within: Stage | None
    began_ns: int
    ended_ns: int = 0
    found: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    parts: list[Stage] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    is_apart: bool = False


_LOCK = threading.Lock()
_NOW: ContextVar[Stage | None] = ContextVar("stage", default=None)


@contextmanager
def stage(name: str, *, is_apart: bool = False, **about: Value) -> Iterator[Stage]:
    """Be in a stage, inside the one that is now."""
    before, began = _NOW.get(), time.monotonic_ns()
    now = Stage(name, about, before, time.time_ns(), is_apart=is_apart)
    if before:
        before.parts.append(now)
    token = _NOW.set(now)
    try:
        yield now
    except BaseException as error:
        now.error = str(error) or type(error).__name__
        raise
    finally:
        lasted = time.monotonic_ns() - began
        now.ended_ns = now.began_ns + lasted
        details = [f"{done} {seconds:.3f} s" for done, seconds in now.spent.items()]
        details += [] if before else [_used()]
        log.info("%s took %.3f s%s", name, lasted / 1e9, f" ({', '.join(details)})" if details else "")
        _NOW.reset(token)


@contextmanager
def timed(done: str) -> Iterator[None]:
    """Count the time inside as spent by the present stage on doing that."""
    began = time.monotonic()
    try:
        yield
    finally:
        now, seconds = _NOW.get(), time.monotonic() - began
        if now:
            with _LOCK:
                now.spent[done] = now.spent.get(done, 0.0) + seconds


def _used() -> str:
    """What the process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    megabytes = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return f"{used.ru_utime + used.ru_stime:.3f} s of processor, {megabytes:.0f} MB of memory at most"


def note(**about: Value) -> None:
    """Say what the present stage, and all that it is inside of, turn out to be about, up to one apart."""
    each = _NOW.get()
    while each:
        each.about |= about
        each = None if each.is_apart else each.within


def graft(part: Stage) -> None:
    """Put a stage of another process into the present one, as if it had been begun here."""
    now = _NOW.get()
    if now:
        part.within = now
        now.parts.append(part)


def present() -> Stage | None:
    """The stage that is now, if any is."""
    return _NOW.get()


def about() -> Mapping[str, Value]:
    """What the present stage is about, by itself and by those that it is inside of."""
    found: dict[str, Value] = {}
    each = _NOW.get()
    while each:
        found = each.about | found
        each = each.within
    return found
