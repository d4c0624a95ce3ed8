"""Which engine works something out: DuckDB here, or Spark on one machine or a cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from etl.errors import UsageError
from etl.settings import ENGINES, SPARK, Settings, settings_of

if TYPE_CHECKING:
    import pyarrow as pa

    from etl.lake import Lake
    from etl.reports import Report

ENGINE = click.option(
    "--engine",
    "engine_name",
    type=click.Choice(ENGINES),
    help="What works it out (DEMETER_ENGINE).",
)
MASTER = click.option(
    "--master", metavar="URL", help="Where Spark works: local[*], spark://HOST:7077, yarn (DEMETER_MASTER)."
)


@dataclass(frozen=True)
class Engine:
    """What answers a report with values for its parameters, and what gives, for a lake, what runs one
    statement after the other over it."""

    answer: Callable[[Lake, Report, dict[str, Any]], pa.Table]
    reading: Callable[[Lake], AbstractContextManager[Callable[..., pa.Table]]]


def settings_with(given: dict[str, Any], engine: str | None, master: str | None, **options: Any) -> Settings:
    """The settings of a command with an engine; UsageError for a master that nothing would work at."""
    settings = settings_of(given, engine=engine, master=master, **options)
    if master is not None and not on_spark(settings):
        raise UsageError("--master is where Spark works: give --engine spark as well")
    return settings


def on_spark(settings: Settings) -> bool:
    """Whether it is Spark."""
    return settings.engine == SPARK


def of(settings: Settings) -> Engine:
    """The engine that is set."""
    if on_spark(settings):
        from etl import sparkquery

        return Engine(
            partial(sparkquery.answer, settings.master), partial(sparkquery.reading, settings.master)
        )
    from etl import query, reports

    return Engine(reports.answer, query.reading)
