"""Tells somebody what went wrong with a run, and what a lake has that should not be; it never fails a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from etl import alarms, notices
from etl.alarms import Alarm
from etl.channels import Channel, NotTold, channels
from etl.errors import CheckFailed, DemeterError, UsageError
from etl.lake import Lake
from etl.message import message, template_of
from etl.notices import Notice
from etl.projects import Outcome, SomeFailed
from etl.settings import Settings
from etl.stages import stage
from etl.values import visible

log = logging.getLogger("demeter")


@dataclass
class Watch:
    """What was seen of a run: how its sweeps ended, and whether what follows them was reached."""

    alone: str
    outcomes: list[Outcome] = field(default_factory=list)
    is_past_sweeps: bool = False

    def alarms(self, error: Exception | None) -> Iterator[Alarm]:
        """What to tell of the run, which ended with that error."""
        for outcome in self.outcomes:
            yield from alarms.of_outcome(outcome, self.alone)
        of_sweeps = isinstance(error, SomeFailed) or error in [each.error for each in self.outcomes]
        # What a check of the data found is told as such.
        if self.is_past_sweeps or not of_sweeps:
            yield alarms.of_rest(None if of_sweeps or isinstance(error, CheckFailed) else error)


@contextmanager
def watched(settings: Settings) -> Iterator[Watch]:
    """Tell of the run inside, when it is over, whoever the settings name."""
    watch = Watch(settings.project_id)
    ended: Exception | None = None
    try:
        yield watch
    except Exception as error:
        ended = error
        raise
    finally:
        if reached := channels(settings):
            try:
                with stage("notify"):
                    tell(settings, reached, list(watch.alarms(ended)))
            except NotTold as error:
                log.warning("%s", visible(str(error)))
            except Exception as error:
                log.warning("nobody was told of this run: %s", _reason(error))


def check(settings: Settings) -> None:
    """Raise UsageError where somebody is to be told, and what is set for that cannot be used."""
    if channels(settings):
        template_of(settings.notify_template)


def tell(
    settings: Settings, reached: Sequence[Channel], of_run: Iterable[Alarm] = (), *, dry_run: bool = False
) -> list[tuple[Channel, list[Notice]]]:
    """Tell each channel what is new to it, and remember that; returns what each was told, or would be.

    Raises NotTold, once all were tried, where one could not be reached: it is tried again by the next run.
    """
    lake = Lake(settings.lake)
    found = [*of_run, *_of_lake(settings, lake)]
    with ExitStack() as held:
        remembers = not dry_run and notices.hold(lake, held)
        now, memory = datetime.now(UTC), notices.recall(lake)
        sent, failed = [], []
        for channel in reached:
            told = memory.get(channel.name, {})
            news = notices.due(found, told, now, settings.notify_again_hours)
            try:
                if news and not dry_run:
                    channel.send(message(news, template_of(settings.notify_template), str(lake), now))
                    log.info("%s is told of %d findings", channel.name, len(news))
            except NotTold as error:
                failed.append(str(error))
                continue
            memory[channel.name] = notices.after(told, news, now)
            sent.append((channel, news))
        if remembers and any(news for _, news in sent):
            notices.remember(lake, memory)
    if failed:
        raise NotTold("; ".join(failed))
    return sent


def test(settings: Settings, reached: Sequence[Channel]) -> None:
    """Send each channel a message that says that it works; raises NotTold where one does not."""
    alarm = Alarm("test", 1, "this is a test", ("It was sent by `demeter notify --test`.",), "nothing")
    template, now = template_of(settings.notify_template), datetime.now(UTC)
    for channel in reached:
        channel.send(message([Notice("test", alarm)], template, str(Lake(settings.lake)), now))


def _of_lake(settings: Settings, lake: Lake) -> list[Alarm]:
    """What the lake says; nothing where there is none yet, or where it cannot be read."""
    try:
        return list(alarms.of_lake(settings, lake)) if lake.is_there() else []
    except Exception as error:
        log.warning("what the lake says is not told of: %s", _reason(error))
        return []


def _reason(error: Exception) -> str:
    """Why something did not work, without what a library may quote."""
    return visible(str(error)) if isinstance(error, (DemeterError, UsageError)) else type(error).__name__
