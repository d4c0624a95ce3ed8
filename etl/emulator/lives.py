"""The life of an instance: exact transitions, drawn from its seed as far as somebody looks."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from random import Random

from etl.emulator.drawing import Drawing
from etl.emulator.settings import FleetSettings
from etl.emulator.states import DAY, HOUR, MINUTE, Plan, State

INSTANT = itemgetter(State._fields.index("at_us"))


class Life:
    """The states of an instance, in order; instants are microseconds, on whole milliseconds.

    On whole milliseconds, because the service tells no more: so what it tells is exactly so.
    """

    __slots__ = ("_end_us", "_is_over", "_pieces", "_plan", "_settings", "_start_us", "states")

    def __init__(self, plan: Plan, settings: FleetSettings, start_us: int) -> None:
        self._plan, self._settings = plan, settings
        self._start_us = start_us
        self._end_us = start_us + int(settings.days * DAY)
        self._pieces = 0
        self._is_over = False
        self.states: list[State] = []

    def state_at(self, instant_us: int) -> State | None:
        """The state at an instant; None before the creation."""
        position = self.position_at(instant_us)
        return self.states[position] if position >= 0 else None

    def position_at(self, instant_us: int) -> int:
        """The place in `states` of the state at an instant; -1 before the creation."""
        if instant_us < self._plan.created_us:
            return -1
        while not self._is_over and (not self.states or self.states[-1].at_us <= instant_us):
            self._draw()
        return bisect_right(self.states, instant_us, key=INSTANT) - 1

    def change_after(self, position: int) -> int | None:
        """When the state at a place in `states` ends; None if it does not."""
        if position < 0:
            return self._plan.created_us
        later = position + 1
        return self.states[later].at_us if later < len(self.states) else None

    def reach_end(self) -> None:
        """Draw all of the life."""
        while not self._is_over:
            self._draw()

    def _draw(self) -> None:
        """Draw the next piece: the creation with its first run, or an idle time and what follows.

        Each piece has a seed of its own, so that nothing depends on how far somebody looked.
        """
        key = (self._settings.seed << 48) ^ (self._plan.index << 16) ^ self._pieces
        drawing = Drawing(self.states, self._plan, self._settings, self._start_us, Random(key))
        if self._pieces == 0:
            drawing.create()
            self._is_over = self._plan.is_forgotten
        else:
            self._is_over = not drawing.live_on(self._wake_us(drawing), self._end_us)
        self._pieces += 1
        if self._settings.unchanging and not self._is_before_start():
            self._stand_still()

    def _wake_us(self, drawing: Drawing) -> int:
        settings, slept_us = self._settings, self.states[-1].at_us
        if self._pieces > 1 or slept_us >= self._start_us:
            return slept_us + drawing.length(HOUR * settings.mean_idle_hours)
        # Between its first run and the start an older instance is idle; then some are running.
        usual_hours = settings.mean_run_hours + settings.mean_idle_hours
        is_running = drawing.chance(settings.mean_run_hours / usual_hours)
        if is_running and self.states[-1].status != "CREATE_FAILED":
            head_start_us = drawing.between(0, HOUR * settings.mean_run_hours)
            return max(slept_us + MINUTE, self._start_us - head_start_us)
        return self._start_us + drawing.length(HOUR * settings.mean_idle_hours)

    def _is_before_start(self) -> bool:
        return not self._is_over and self.states[-1].at_us <= self._start_us

    def _stand_still(self) -> None:
        """Let nothing happen from shortly before the start on."""
        last_us = self._start_us - MINUTE
        kept = [state for state in self.states if state.at_us < last_us] or self.states[:1]
        if kept[-1].stop_us is not None:
            kept[-1] = kept[-1]._replace(stop_us=self._end_us + DAY)
        self.states, self._is_over = kept, True
