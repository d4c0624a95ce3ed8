"""What an instance is like from one change to the next, and what its life starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from etl.emulator.catalogue import Failure, Flavor

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class State(NamedTuple):
    """An instance from one instant until the next state; all that changes in a life is here."""

    at_us: int
    status: str
    flavor: Flavor
    name: str
    updated_us: int
    auto_stop_seconds: int  # 0 is off.
    stop_us: int | None = None  # When auto-stop will stop it, while it runs.
    queue_end_us: int | None = None  # When it will leave the queue that it is in.
    failure: Failure | None = None
    is_listed: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What a life starts from."""

    index: int
    created_us: int
    flavor: Flavor
    name: str
    auto_stop_seconds: int
    is_forgotten: bool = False
