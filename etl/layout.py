"""An edition as one page of HTML: an overview, then a section for each report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from etl import charts, document, figures, overview
from etl.edition import Edition, Section
from etl.markup import escaped, prose, table
from etl.periods import DAY
from etl.texts import Texts, texts

# So many rows of a report stand on a page of several; a page of one has more.
MOST_ROWS = 300
BRAND = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M1 8h3v7H1zm5-4h3v11H6zm5-3h3v14h-3z"/></svg>'


def html(issue: Edition, language: str) -> Iterator[bytes]:
    """Yield the page of an edition; that of one report has no overview."""
    said = texts(language)
    alone = len(issue.sections) == 1
    title = said.title(issue.sections[0].report.name) if alone else said("title")
    head = f'<p class="brand">{BRAND}demeter</p><h1>{escaped(title)}</h1>' + "".join(
        f"<p>{escaped(line)}</p>" for line in about(issue, said)
    )
    contents = "" if alone else _contents(issue, said)
    return document.page(title, said, head=head, contents=contents, main=_main(issue, said, alone))


def about(issue: Edition, said: Texts) -> list[str]:
    """The days of an edition and the moment that it tells of, in words."""
    lines = []
    if period := issue.period:
        lines.append(said("period", first=period.first, last=period.end - DAY, zone=issue.tz))
    if issue.seen_at:
        time = issue.seen_at.astimezone(issue.zone)
        lines.append(
            f"{said('as_of', time=f'{time:%Y-%m-%d %H:%M}')}. {said('zone_of_times', zone=issue.tz)}."
        )
    return lines


def _contents(issue: Edition, said: Texts) -> str:
    """Links to the overview, the chapters and their reports."""
    chapters = "".join(
        f'<li><a href="#chapter-{chapter}">{escaped(said(f"chapter_{chapter}"))}</a><ul>'
        + "".join(
            f'<li><a href="#{escaped(name)}">{escaped(said.title(name))}</a></li>'
            for name in (each.report.name for each in sections)
        )
        + "</ul></li>"
        for chapter, sections in issue.chapters.items()
    )
    return f'<ul><li><a href="#main">{escaped(said("glance"))}</a></li>{chapters}</ul>'


def _main(issue: Edition, said: Texts, alone: bool) -> Iterator[str]:
    if not alone:
        yield _overview(issue, said)
    for chapter, sections in issue.chapters.items():
        if not alone:
            yield f'<h2 id="chapter-{chapter}">{escaped(said(f"chapter_{chapter}"))}</h2>'
        for section in sections:
            yield _section(section, issue.zone, said, alone)
    yield f'<p class="more">{escaped(said("ranges"))} {escaped(said("not_known"))}</p>'


def _overview(issue: Edition, said: Texts) -> str:
    linked = frozenset(section.report.name for section in issue.sections)
    if issue.facts:
        return overview.html(issue.facts, said, linked)
    title = escaped(said("glance"))
    return f'<section class="report" id="glance"><h2>{title}</h2>{_empty(issue.missing, said)}</section>'


def _section(section: Section, zone: tzinfo, said: Texts, alone: bool) -> str:
    """A report with its question, its charts and its table."""
    report, answer = section.report, section.answer
    title = said.title(report.name)
    note = said.of_report(report.name, "note", report.note)
    parts = [
        f'<section class="report" id="{escaped(report.name)}"><h3>{escaped(title)}</h3>',
        f'<p class="question">{prose(said.of_report(report.name, "question", report.question))}</p>',
        f'<p class="note">{prose(note)}</p>' if note else "",
    ]
    if answer is None:
        return "".join([*parts, _empty(section.missing, said), "</section>"])
    most = document.MOST_ROWS if alone else MOST_ROWS
    shown = figures.rounded(answer)
    parts.append(charts.of(report.name, answer, said))
    if answer.num_rows > most:
        more = escaped(said("first_rows", shown=f"{most:,}", count=f"{answer.num_rows:,}"))
        command = f"demeter report {report.name} -o {report.name}.csv"
        parts.append(f'<p class="more">{more} <code>{escaped(command)}</code></p>')
    parts.append(table(shown, said, zone, name=report.name, title=title, most=most))
    return "".join([*parts, "</section>"])


def _empty(missing: str, said: Texts) -> str:
    return f'<p class="empty">{prose(said(missing))}</p>'
