"""A message of several notices: as a mail, and as JSON for a webhook. A template says how its text reads.

Text for people has an escape for each character that is not seen. The text that goes to a webhook has only
words and figures of our own, so that no chat takes a name for markup; names are beside it, as data.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Any

from etl import __version__
from etl.errors import UsageError
from etl.notices import Notice
from etl.values import visible

PLACEHOLDERS = ("headline", "findings", "lake", "host", "at", "version")
STATES = {"new": "NEW", "worse": "WORSE", "lasting": "STILL", "over": "OVER", "test": "TEST"}
LONGEST_SUBJECT = 150


@dataclass(frozen=True)
class Message:
    """A mail's subject and text, and what is posted to a webhook."""

    subject: str
    text: str
    payload: dict[str, Any]


def template_of(path: str) -> Template:
    """The template of a file, or the one that comes with demeter; UsageError where it cannot be used."""
    file = Path(path) if path else Path(__file__).with_name("notification.txt")
    try:
        template = Template(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"notify_template {path} cannot be read: {reason}; mend it, or unset it") from None
    used = set(template.get_identifiers())
    if not template.is_valid() or not used <= set(PLACEHOLDERS):
        listed = ", ".join(f"${name}" for name in PLACEHOLDERS)
        raise UsageError(
            f"notify_template {path} has a placeholder that is none: there are {listed}, and $$ for a $"
        )
    return template


def message(notices: Sequence[Notice], template: Template, lake: str, now: datetime) -> Message:
    """The message of these notices. The first line of a template is the subject of a mail."""
    about = {
        "headline": _headline(notices),
        "lake": visible(lake),
        "host": visible(socket.gethostname()),
        "at": f"{now:%Y-%m-%d %H:%M:%SZ}",
        "version": __version__,
    }
    full = template.substitute(about, findings="\n\n".join(_block(each) for each in notices))
    plain = template.substitute(about, findings="\n".join(line(each) for each in notices))
    subject, _, text = full.partition("\n")
    payload = {
        "source": "demeter",
        "text": plain.strip(),
        **{name: about[name] for name in ("headline", "host", "at", "version")},
        "lake": lake,
        "findings": [_data(each) for each in notices],
    }
    return Message(visible(subject.strip())[:LONGEST_SUBJECT], text.strip() + "\n", payload)


def _headline(notices: Sequence[Notice]) -> str:
    """What there is to tell in a line: the first of it, and how much more."""
    more = f", and {len(notices) - 1} more" if len(notices) > 1 else ""
    return line(notices[0]) + more


def line(notice: Notice) -> str:
    """A notice in a line of words and figures of our own."""
    return visible(f"{STATES[notice.state]}: {notice.alarm.title}")


def _block(notice: Notice) -> str:
    """A notice with all that is known of it; how it is now and what to do, while it is not over."""
    lines = [line(notice)]
    if notice.state != "over":
        lines += [f"  {visible(each)}" for each in notice.alarm.details]
        lines += [f"  Next: {notice.alarm.advice}"] if notice.alarm.advice else []
    return "\n".join(lines)


def _data(notice: Notice) -> dict[str, Any]:
    alarm = notice.alarm
    return {
        "key": alarm.key,
        "state": notice.state,
        "level": alarm.level,
        "title": alarm.title,
        "details": list(alarm.details),
        "advice": alarm.advice,
    }
