"""A lake for Python: what SQL and the reports answer, as pandas, Arrow or polars have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from etl import figures, inline, output, periods, query, render, reports, schema, values
from etl.errors import UsageError
from etl.inline import Figure
from etl.lake import Lake
from etl.reports import Asked
from etl.settings import load

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa

Day = str | date
Amount = str | int | float | Decimal

# So many rows of a result are seen where its name alone is typed.
SEEN_ROWS = 20
BOUNDS = ("_min", "_max")


@dataclass(frozen=True, repr=False)
class Result:
    """The rows of an answer, with the type of each column.

    Of a report it also has the name, the question, what a row is, and the days that it is about.
    """

    table: pa.Table
    name: str = ""
    question: str = ""
    grain: str = ""
    note: str = ""
    period: str = ""

    def arrow(self) -> pa.Table:
        """The rows as Arrow has them: exact decimals, times in UTC to the microsecond."""
        return self.table

    def df(self) -> pandas.DataFrame:
        """The rows for pandas, none of them rounded.

        Decimals are Python's own, in columns of objects; whole numbers and booleans that may be null have
        the types of pandas that know null; times are in UTC.
        """
        frame: pandas.DataFrame = self.table.to_pandas(types_mapper=_nullable)
        return frame

    def pl(self) -> polars.DataFrame:
        """The rows for polars, with its own decimals; UsageError where polars is not installed."""
        try:
            import polars
        except ModuleNotFoundError:
            raise UsageError("polars is not installed: run `pip install polars`, or take .df()") from None
        return polars.DataFrame(self.table)

    def rows(self) -> list[dict[str, Any]]:
        """The rows as Python has them, a dict each: Decimal, date, datetime in UTC, None for null."""
        names = self.table.column_names
        return [dict(zip(names, row, strict=True)) for row in values.rows(self.table)]

    @property
    def types(self) -> dict[str, str]:
        """The type of each column, as Arrow calls it."""
        return {field.name: str(field.type) for field in self.table.schema}

    @property
    def bounds(self) -> dict[str, tuple[str, str]]:
        """The figures that have bounds, each with the columns that say at least and at most how much."""
        names = self.table.column_names
        ends = {name: (f"{name}{BOUNDS[0]}", f"{name}{BOUNDS[1]}") for name in names}
        return {name: pair for name, pair in ends.items() if set(pair) <= set(names)}

    def charts(self, name: str = "") -> Figure:
        """The charts that go with the report, or with one of that name whose columns the rows have.

        A notebook shows them where they are the value of a cell; each currency has charts of its own.
        """
        return inline.drawn(name or self.name, self.table)

    def _repr_html_(self) -> str:
        notes = (self.note, self.period)
        shown = inline.table(self.table, self.bounds, self.name, self.question, notes)
        return shown._repr_html_()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    def __repr__(self) -> str:
        shown = figures.readable(self.table.slice(0, SEEN_ROWS))
        text = b"".join(render.render(shown, "table")).decode()
        return text if len(self) <= SEEN_ROWS else f"{text}the first of {len(self):,} rows"


class OpenLake:
    """A lake that can be asked, and only read.

    Each answer is from the lake as it is then. Inside of a `with` all answers are from one moment, so that
    they go together whatever is swept or built meanwhile.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Open the lake at a path, else the one of the settings; UsageError where there is none."""
        self._lake = Lake(load({}).lake if path is None else path)
        self._lake.check()
        self._moment = ExitStack()
        self._read: Callable[..., pa.Table] | None = None

    @property
    def path(self) -> Path:
        """The directory of the lake; UsageError where it is in an object store."""
        return self._lake.path

    def sql(self, text: str, **named: Any) -> Result:
        """The answer to one statement of DuckDB's SQL, with a value for each $name in it.

        As in `demeter sql` it can read the tables of the lake and nothing else; UsageError says what is
        refused or wrong.
        """
        return Result(_distinct(self._answer(text, named or None)))

    def tables(self) -> Result:
        """The tables: name, the view of all versions, and what a row is."""
        return Result(output.table_of(schema.tables()))

    def columns(self, table: str) -> Result:
        """The columns of a table: type, unit, meaning and field of the API; UsageError where it is none."""
        return Result(output.table_of(schema.columns(table)))

    def reports(self) -> Result:
        """The reports: name, question, what a row is, and what they may be asked for."""
        return Result(output.table_of(reports.listing()))

    def report(
        self,
        name: str,
        *,
        by: str | None = None,
        from_: Day | None = None,
        to: Day | None = None,
        last: str | int | None = None,
        tz: str | None = None,
        hours: Amount | None = None,
        budget: Amount | None = None,
    ) -> Result:
        """The answer of a report, asked for what `demeter report` may be asked for.

        `from_` is the first day and `to` the one before which the period ends: dates, or months like
        "2026-10"; `last` is how many of the last complete days, like "7 days"; all in the billing time zone.
        `hours` is the running time from which an instance is forgotten, `budget` what a month may cost in
        the currency of the lake. UsageError says what the report does not take, or what is not built.
        """
        asked = Asked(by, _text(from_), _text(to), _text(last), tz, _text(hours), _text(budget))
        chosen = reports.report(name, by)
        days = None
        if chosen.parameters & (reports.PERIOD | reports.MONTH):
            periods.require_built(self._lake, tz)
            days = periods.built_by(self._answer(periods.BUILT))
        bound = reports.values(self._lake, chosen, asked, days)
        return Result(
            self._answer(chosen.sql, bound),
            chosen.name,
            chosen.question,
            chosen.grain,
            chosen.note,
            reports.told(bound) or "",
        )

    def _answer(self, text: str, named: dict[str, Any] | None = None) -> pa.Table:
        return self._read(text, named) if self._read else query.run(self._lake, text, named)

    def __enter__(self) -> OpenLake:
        if self._read:
            raise UsageError("the lake is held at a moment already: leave that `with` first")
        self._read = self._moment.enter_context(query.reading(self._lake))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read = None
        self._moment.close()

    def __repr__(self) -> str:
        return f"<the lake {self._lake}>"


def _text(value: object) -> str | None:
    """What was asked for, as it would have been typed."""
    return None if value is None else str(value)


def _distinct(table: pa.Table) -> pa.Table:
    """A result in which no two columns have the same name."""
    return table.rename_columns(values.distinct(table.column_names))


def _nullable(kind: pa.DataType) -> Any:
    """The type of pandas that holds whole numbers or booleans and knows null; None for what else there is."""
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return pd.BooleanDtype()
    if pa.types.is_integer(kind):
        return pd.api.types.pandas_dtype(str(kind).replace("uint", "UInt").replace("int", "Int"))
    return None
