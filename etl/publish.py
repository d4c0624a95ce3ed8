"""Where reports go and in which form: one answer, an edition of several, or what the settings name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from etl import reports
from etl.errors import UsageError
from etl.reports import Asked

if TYPE_CHECKING:
    from etl.edition import Edition
    from etl.engine import Engine
    from etl.lake import Lake
    from etl.settings import Settings

log = logging.getLogger("demeter")

# These hold many reports in one file.
BOUND = ("html", "xlsx")
ALL = "all"


def bound(
    lake: Lake, name: str | None, asked: Asked, format: str, language: str, engine: Engine
) -> Iterable[bytes]:
    """The pieces of a file with the report of a name, refused as elsewhere; with all where none is named."""
    from etl import edition

    if name is None:
        return _pieces(edition.of(lake, [], asked, engine.reading), format, language)
    chosen = reports.report(name, asked.by)
    reports.values(lake, chosen, asked)
    return _pieces(edition.of(lake, [chosen.name], replace(asked, by=None), engine.reading), format, language)


def _pieces(issue: Edition, format: str, language: str) -> Iterable[bytes]:
    from etl import layout, spreadsheet

    return layout.html(issue, language) if format == "html" else [spreadsheet.xlsx(issue, language)]


@dataclass(frozen=True)
class Chosen:
    """The reports that the settings name: each in a file of its name, or together in one."""

    names: Sequence[str]
    directory: Path
    format: str
    language: str

    @classmethod
    def of(cls, settings: Settings) -> Chosen:
        """Those of the settings; UsageError where a report, the format or the language is unknown."""
        from etl.render import FORMATS
        from etl.texts import texts

        names = [name.strip() for name in settings.reports.split(",") if name.strip()]
        if settings.reports_format not in FORMATS:
            raise UsageError(
                f"reports_format {settings.reports_format!r} is none: it is one of {', '.join(FORMATS)}"
            )
        texts(settings.reports_lang)
        found = reports.reports() if names == [ALL] else [reports.report(name) for name in names]
        directory = Path(settings.reports_directory)
        return cls([each.name for each in found], directory, settings.reports_format, settings.reports_lang)

    def write(self, lake: Lake, engine: Engine) -> Iterator[Path]:
        """Write them over their usual period, and yield the paths."""
        if not self.names:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            said = error.strerror or error
            raise UsageError(
                f"reports_directory {self.directory} cannot be made: {said}; name another one"
            ) from None
        if self.format not in BOUND:
            yield from self._write_each(lake, engine)
            return
        from etl import edition
        from etl.render import deliver

        path = self.directory / f"report.{self.format}"
        issue = edition.of(lake, self.names, Asked(), engine.reading)
        deliver(_pieces(issue, self.format, self.language), self.format, path)
        yield path

    def _write_each(self, lake: Lake, engine: Engine) -> Iterator[Path]:
        """Write each; one about days is left out, and told, while no day was metered."""
        from etl.marts import NothingMetered

        for name in self.names:
            chosen = reports.report(name)
            try:
                found = engine.answer(lake, chosen, reports.values(lake, chosen, Asked()))
            except NothingMetered as error:
                log.warning("the report %s is not written: %s", name, error)
                continue
            path = self.directory / f"{name}.{self.format}"
            reports.write(found, self.format, path)
            yield path
