"""What is to be told now, after what was told before: once, again if it is worse or lasts, and when over."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from etl.alarms import Alarm
from etl.directory import private
from etl.errors import DemeterError
from etl.lake import Lake

log = logging.getLogger("demeter")

FILE = "notified.json"
LOCK = "notify"
FORGETFUL = "%s cannot be written (%s), so what is told now may be told again: make it writable"


@dataclass(frozen=True)
class Told:
    """That somebody was told of an alarm: of which level, and when (seconds since 1970)."""

    level: int
    at: float


@dataclass(frozen=True)
class Notice:
    """An alarm to be told: it is `new`, `worse`, `lasting` or `over`."""

    state: str
    alarm: Alarm


# What each channel was told, by the key of the alarm.
Memory = Mapping[str, Mapping[str, Told]]


def due(alarms: Iterable[Alarm], told: Mapping[str, Told], now: datetime, again_hours: float) -> list[Notice]:
    """The notices that a channel is to get which was told so much; 0 hours tell nothing again that lasts."""
    found = []
    for alarm in alarms:
        state = _state(alarm, told.get(alarm.key), now, timedelta(hours=again_hours))
        if state:
            found.append(Notice(state, alarm))
    return found


def after(told: Mapping[str, Told], notices: Iterable[Notice], now: datetime) -> dict[str, Told]:
    """What a channel was told once it got these notices, too."""
    found = dict(told)
    for notice in notices:
        key = notice.alarm.key
        if notice.state == "over":
            found.pop(key, None)
        else:
            found[key] = Told(notice.alarm.level, now.timestamp())
    return found


def recall(lake: Lake) -> dict[str, dict[str, Told]]:
    """What each channel was told of a lake; nothing where that cannot be read, so that it is told again."""
    try:
        known = lake.place(FILE).json()
        return {
            channel: {key: Told(int(each["level"]), float(each["at"])) for key, each in told.items()}
            for channel, told in known.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, DemeterError) as error:
        log.warning(
            "%s cannot be read (%s): what was told before may be told again", FILE, type(error).__name__
        )
        return {}


def remember(lake: Lake, memory: Memory) -> None:
    """Keep what each channel was told; where it cannot be kept, it may be told again."""
    known = {
        channel: {key: asdict(each) for key, each in sorted(told.items())} for channel, told in memory.items()
    }
    try:
        with private():
            lake.place(FILE).replace(json.dumps(known, indent=1) + "\n")
    except (OSError, DemeterError) as error:
        log.warning(FORGETFUL, lake.place(FILE), getattr(error, "strerror", None) or error)


def hold(lake: Lake, until: ExitStack) -> bool:
    """Let no other run tell of the lake meanwhile; False where it cannot even keep a lock."""
    try:
        lake.store.prepare()
        until.enter_context(lake.lock(LOCK, wait=True))
    except (OSError, DemeterError) as error:
        log.warning(FORGETFUL, lake, getattr(error, "strerror", None) or error)
        return False
    return True


def _state(alarm: Alarm, told: Told | None, now: datetime, again: timedelta) -> str:
    """What an alarm is to somebody who was told so much of it; empty where there is nothing to tell."""
    if not alarm.level:
        return "over" if told else ""
    if told is None:
        return "new"
    if alarm.level > told.level:
        return "worse"
    lasts = again and now - datetime.fromtimestamp(told.at, UTC) >= again
    return "lasting" if lasts else ""
