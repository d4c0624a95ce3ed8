"""The time that the emulated service goes by: moved by hand, or running at a chosen speed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 instant; one without an offset is in UTC."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - EPOCH) // timedelta(microseconds=1)


def http_date(instant_us: int) -> str:
    """An instant as the Date header has it: RFC 1123, whole seconds, rounded down."""
    return format_datetime(EPOCH + timedelta(seconds=instant_us // 1_000_000), usegmt=True)


def iam_date(instant_us: int) -> str:
    """An instant as IAM writes it: microseconds and a Z."""
    return (EPOCH + timedelta(microseconds=instant_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Clock:
    """A clock in microseconds since the epoch; at speed 0 it moves only when it is told to."""

    def __init__(self, start_us: int, speed: float = 0.0) -> None:
        self._start_us = start_us
        self.speed = speed
        self._since = time.monotonic()

    @classmethod
    def at(cls, instant: str, speed: float = 0.0) -> Clock:
        """A clock that shows an ISO 8601 instant now; speed 1 keeps pace with real time."""
        return cls(microseconds(instant), speed)

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        elapsed = time.monotonic() - self._since if self.speed else 0.0
        return self._start_us + int(elapsed * self.speed * 1_000_000)

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.now_us() // 1000

    def advance(self, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        """Move on by a length of time (back, if it is negative)."""
        step = timedelta(seconds=seconds, minutes=minutes, hours=hours)
        self._start_us += step // timedelta(microseconds=1)

    def move_to(self, instant: str) -> None:
        """Show an ISO 8601 instant from now on."""
        self._start_us, self._since = microseconds(instant), time.monotonic()
