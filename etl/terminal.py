"""What a terminal shows beside results: progress, and the log on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import click

from etl.stages import about

# What a line of the log in JSON may have.
KEYS = (
    *("time", "level", "message", "command", "project_id", "sweep_id", "build_id"),
    *("scope", "filter", "exit_status", "trace"),
)


_SHOWN = ContextVar("progress", default=True)


def show_progress(is_wanted: bool) -> None:
    """Say whether progress is to be shown on a terminal."""
    _SHOWN.set(is_wanted)


class progress_bar:
    """How far something has come, how fast it goes and how long it will still take: on a terminal, and
    nothing elsewhere. What is counted are `things`, a word in the plural."""

    def __init__(self, label: str, things: str) -> None:
        self.label, self.things = label, things
        self.bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        self.began = time.monotonic()
        is_shown = _SHOWN.get() and sys.stderr.isatty()
        return self.update if is_shown else lambda done, total: None

    def update(self, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = click.progressbar(
                length=total,
                label=self.label,
                file=sys.stderr,
                show_pos=True,
                show_eta=True,
                item_show_func=lambda rate: rate,
            )
            self.bar.__enter__()
        self.bar.length = max(total, done)
        self.bar.update(done - self.bar.pos, rate(done, time.monotonic() - self.began, self.things))

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.__exit__(None, None, None)


def rate(done: int, seconds: float, things: str) -> str:
    """How many things are done in a second, or where that is less than one how long each takes."""
    if done <= 0 or seconds <= 0:
        return ""
    if done >= seconds:
        return f"{done / seconds:,.0f} {things}/s"
    return f"{seconds / done:,.1f} s/{things.removesuffix('s')}"


class Lines(logging.Formatter):
    """Log records as text, a line each, after the trace of where they came from if they have one, with the
    project that they are about where there are several."""

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) + "\n" if record.exc_info else ""
        project = about().get("project")
        whose = f"{project}: " if project else ""
        return f"{trace}demeter: {whose}{record.getMessage()}"


class JsonLines(logging.Formatter):
    """Log records as JSON, a line each, with what the stage is about in which they came."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "trace": self.formatException(record.exc_info) if record.exc_info else "",
            **about(),
        }
        return json.dumps({name: line[name] for name in KEYS if line.get(name, "") != ""})


def log_to_stderr(verbose: bool, log_format: str) -> None:
    """Log to standard error: warnings and errors, or with `verbose` all there is."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else Lines())
    logger = logging.getLogger("demeter")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)


def log_as_here() -> Callable[[], None]:
    """What makes another process log as this one does."""
    logger = logging.getLogger("demeter")
    log_format = "json" if any(isinstance(each.formatter, JsonLines) for each in logger.handlers) else "text"
    return partial(log_to_stderr, logger.level <= logging.INFO, log_format)
