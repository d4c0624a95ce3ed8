"""What a terminal shows beside results: progress, and the log on standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import click


class progress_bar:
    """A progress bar on a terminal, and nothing elsewhere."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        return self.update if sys.stderr.isatty() else lambda done, total: None

    def update(self, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = click.progressbar(
                length=total, label=self.label, file=sys.stderr, show_pos=True, show_eta=True
            )
            self.bar.__enter__()
        self.bar.length = max(total, done)
        self.bar.update(done - self.bar.pos)

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.__exit__(None, None, None)


class JsonLines(logging.Formatter):
    """Log records as JSON, a line each."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        return json.dumps(line)


def log_to_stderr(verbose: bool, log_format: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter("demeter: %(message)s"))
    logger = logging.getLogger("demeter")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
