"""Draw what happens to an instance: creations, runs, interruptions, idle times, deletions."""

from __future__ import annotations

from random import Random
from typing import Any

from etl.emulator.catalogue import FAILURES, FLAVORS_OF
from etl.emulator.settings import FleetSettings
from etl.emulator.states import HOUR, MILLISECOND, MINUTE, SECOND, Plan, State

AUTO_STOP_SECONDS = (3600, 3600, 3600, 7200, 14400, 28800)


class Drawing:
    """Adds states to a life, by chance and in order."""

    def __init__(
        self,
        states: list[State],
        plan: Plan,
        settings: FleetSettings,
        start_us: int,
        random: Random,
    ) -> None:
        self._states, self._plan, self._settings = states, plan, settings
        # Before the start nothing is deleted or missing: a fleet begins with all its instances.
        self._start_us = start_us
        self.random = random

    def chance(self, share: float) -> bool:
        """Whether something that happens in this share of all cases happens now."""
        return self.random.random() < share

    def between(self, shortest_us: float, longest_us: float) -> int:
        """A length of time between two."""
        span = longest_us - shortest_us
        return int(shortest_us + self.random.random() * span) // MILLISECOND * MILLISECOND

    def length(self, mean_us: float) -> int:
        """A length of time, mostly short and sometimes long, of at least ten seconds."""
        return 10 * SECOND + _whole(self.random.expovariate(1 / max(mean_us, 1)))

    def create(self) -> None:
        """The creation, and the first run."""
        plan, at_us = self._plan, self._plan.created_us
        queues = plan.flavor.is_free and self.chance(0.5)
        status = "CREATE_QUEUING" if queues else "CREATING"
        queue_end_us = at_us + self.between(MINUTE, 30 * MINUTE) if queues else None
        self._states.append(
            State(
                *(at_us, status, plan.flavor, plan.name, at_us, plan.auto_stop_seconds),
                queue_end_us=queue_end_us,
            )
        )
        if queue_end_us is not None:
            at_us = self._become(queue_end_us, "CREATING", queue_end_us=None)
        at_us += self.between(5 * SECOND, 20 * SECOND)
        if self._fails():
            self._become(at_us, "CREATE_FAILED", failure=self.random.choice(FAILURES))
        else:
            self._start(at_us)

    def live_on(self, at_us: int, end_us: int) -> bool:
        """What follows an idle time that ends at an instant; False if nothing more will."""
        if at_us >= end_us:
            return False
        ends = self._last.status == "CREATE_FAILED" or self.chance(self._settings.delete_share)
        if ends and at_us >= self._start_us:
            return self._delete(at_us)
        at_us = self._tinker(at_us)
        if self._last.flavor.is_free and self.chance(0.5):
            at_us = self._queue(at_us)
        self._start(at_us)
        return True

    @property
    def _last(self) -> State:
        return self._states[-1]

    def _fails(self) -> bool:
        return not self._plan.is_forgotten and self.chance(self._settings.failure_share)

    def _become(self, at_us: int, status: str, by_user: bool = False, **changes: Any) -> int:
        """Add a state, and return its instant."""
        if by_user or self._settings.updated_at_rule == "every_status":
            lag_us = self._settings.updated_at_lag_seconds * SECOND
            changes["updated_us"] = at_us + self.between(0, lag_us)
        self._states.append(self._last._replace(at_us=at_us, status=status, **changes))
        return at_us

    def _change(self, at_us: int, **changes: Any) -> int:
        """Add a state of the same status that the user brought about."""
        return self._become(at_us, self._last.status, by_user=True, **changes)

    def _start(self, at_us: int) -> None:
        self._become(at_us, "STARTING", failure=None)
        at_us += self.between(8 * SECOND, 60 * SECOND)
        if self._fails():
            self._become(at_us, "START_FAILED", failure=self.random.choice(FAILURES))
        else:
            self._run(at_us, may_be_interrupted=not self._plan.is_forgotten)

    def _run(self, at_us: int, may_be_interrupted: bool) -> None:
        """A run from its start on: until it is stopped, or for ever; it may be interrupted once."""
        stop_after_us = self._last.auto_stop_seconds * SECOND
        stop_us = at_us + stop_after_us if stop_after_us else None
        self._become(at_us, "RUNNING", stop_us=stop_us)
        if self._plan.is_forgotten:
            return
        wish_us = at_us + self._run_length()
        end_us = min(wish_us, stop_us or wish_us)
        if may_be_interrupted and self._interrupt(at_us, end_us):
            return
        self._pass_time(at_us, end_us)
        if stop_us is not None and wish_us > stop_us:
            end_us = self._renew(at_us, stop_us, wish_us)
        self._stop(end_us, by_user=end_us == wish_us)

    def _run_length(self) -> int:
        if self.chance(self._settings.short_run_share):
            return self.between(MINUTE, 10 * MINUTE)
        return self.length(HOUR * self._settings.mean_run_hours)

    def _renew(self, at_us: int, stop_us: int, wish_us: int) -> int:
        """Sometimes the user moves the stop; return when the run ends."""
        if not self.chance(self._settings.auto_stop_renewal_share):
            return stop_us
        renewed_us = max(self._last.at_us + SECOND, stop_us - self.between(MINUTE, 20 * MINUTE))
        if renewed_us >= stop_us:
            return stop_us
        later_us = stop_us + HOUR * self.random.randint(1, 4)
        self._change(renewed_us, stop_us=later_us)
        return min(wish_us, later_us)

    def _stop(self, at_us: int, by_user: bool) -> int:
        self._become(at_us, "STOPPING", by_user, stop_us=None)
        return self._become(at_us + self.between(3 * SECOND, 30 * SECOND), "STOPPED")

    def _interrupt(self, at_us: int, end_us: int) -> bool:
        """Sometimes a run is interrupted, and another begins: return whether it was."""
        settings, lot = self._settings, self.random.random()
        at_us += self.between((end_us - at_us) * 0.2, (end_us - at_us) * 0.8)
        if lot < settings.resize_share:
            at_us = self._resize(at_us, "RUNNING")
        elif lot < settings.resize_share + settings.restart_share:
            self._become(at_us, "RESTARTING", stop_us=None)
            at_us += self.between(5 * SECOND, 40 * SECOND)
        elif lot < settings.resize_share + settings.restart_share + settings.unavailable_share:
            self._become(at_us, "UNAVAILABLE", stop_us=None)
            at_us += self.between(MINUTE, 40 * MINUTE)
        else:
            return False
        if self._last.status != "RESIZE_FAILED":
            self._run(at_us, may_be_interrupted=False)
        return True

    def _resize(self, at_us: int, next_status: str) -> int:
        """Change the flavor; return when the next status is due, or when it failed."""
        self._become(at_us, "RESIZING", by_user=True, stop_us=None)
        at_us += self.between(20 * SECOND, 3 * MINUTE)
        if self._fails():
            failure = self.random.choice(FAILURES)
            return self._become(at_us, "RESIZE_FAILED", failure=failure)
        others = [one for one in FLAVORS_OF[self._last.flavor.group] if one != self._last.flavor]
        return self._become(at_us, next_status, flavor=self.random.choice(others))

    def _pass_time(self, at_us: int, end_us: int) -> None:
        """What may happen to a run by the way: a new name, or a while missing in the listing."""
        middle_us = at_us + (end_us - at_us) // 2 // MILLISECOND * MILLISECOND
        if self.chance(self._settings.rename_share):
            self._change(middle_us, name=f"{self._last.name[:100]}-{self.random.randint(2, 99)}")
        if self.chance(self._settings.reappear_share) and middle_us >= self._start_us:
            away_us = self.between(5 * MINUTE, 40 * MINUTE)
            if middle_us + 2 * SECOND + away_us < end_us:
                hidden = self._last._replace(at_us=middle_us + SECOND, is_listed=False)
                back_us = middle_us + SECOND + away_us
                self._states += [hidden, hidden._replace(at_us=back_us, is_listed=True)]

    def _tinker(self, at_us: int) -> int:
        """What may happen to a stopped instance before it starts again; return when it does."""
        settings = self._settings
        if self.chance(settings.frozen_share):
            self._become(at_us, "FROZEN", failure=None)
            at_us = self._become(at_us + self.between(HOUR, 6 * HOUR), "STOPPED") + MINUTE
        if self.chance(settings.settings_share) and not self._last.flavor.is_free:
            seconds = 0 if self._last.auto_stop_seconds else self.random.choice(AUTO_STOP_SECONDS)
            at_us = self._change(at_us, auto_stop_seconds=seconds) + MINUTE
        if self.chance(settings.resize_share):
            at_us = self._resize(at_us, "STOPPED") + MINUTE
        return at_us

    def _queue(self, at_us: int) -> int:
        """Wait for a free flavor; return when the user starts the instance."""
        queue_end_us = at_us + self.between(MINUTE, 30 * MINUTE)
        self._become(at_us, "START_QUEUING", queue_end_us=queue_end_us, failure=None)
        self._become(queue_end_us, "READY_TO_START", queue_end_us=None)
        return queue_end_us + self.between(30 * SECOND, 5 * MINUTE)

    def _delete(self, at_us: int) -> bool:
        self._become(at_us, "DELETING", by_user=True)
        at_us = self._become(at_us + self.between(2 * SECOND, 10 * SECOND), "DELETED")
        gone_us = at_us + _whole(self._settings.deleted_linger_seconds * SECOND)
        self._states.append(self._last._replace(at_us=gone_us, status="", is_listed=False))
        return False


def _whole(length_us: float) -> int:
    return int(length_us) // MILLISECOND * MILLISECOND
