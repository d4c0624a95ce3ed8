"""An instance of a fleet, and the stretches of its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from etl.emulator.documents import Fixed
from etl.emulator.lives import Life


class Interval(NamedTuple):
    """A status and a flavor that lasted; an end of None is not in sight."""

    status: str
    flavor: str
    started_us: int
    ended_us: int | None


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance: what never changes about it, and its life."""

    fixed: Fixed
    life: Life

    @property
    def instance_id(self) -> str:
        """Its id, `DE-` and a version 1 UUID."""
        return self.fixed.instance_id

    @property
    def created_us(self) -> int:
        """When it was created."""
        return self.fixed.created_us
