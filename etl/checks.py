"""Checks: of the settings and the source, and of the data by SQL files whose rows are what is wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import duckdb

from etl import apis, damage, marts, sqlfiles, sweep, viewfile, views
from etl.client import Client
from etl.errors import DemeterError, Refused, UsageError
from etl.lake import Lake
from etl.page import Page, read_page
from etl.projects import Project
from etl.scope import Scope
from etl.settings import Settings

KIND = "checks"
SUFFICE = "Do the settings suffice for a sweep?"
LEAST_FREE_BYTES, LEAST_FREE_SHARE = 1_000_000_000, 0.1
MOST_SKEW = timedelta(minutes=1)
MANY_INTERVALS = 4

# The last complete sweep of each project by this machine's clock, and how far such sweeps usually are apart.
_LAST_COMPLETE = """
with complete as (
    select project_id, finished_at,
        finished_at - lag(finished_at) over (partition by project_id order by finished_at) as since
    from sweeps where verdict = 'complete'
)
select project_id, max(finished_at), median(epoch(since)) filter (since is not null)
from complete group by project_id order by project_id
"""


@dataclass(frozen=True)
class Finding:
    """How a check came out: ok, warn or fail; `detail` is for people, with an example. It is of one project
    where it names it."""

    name: str
    status: str
    question: str
    detail: str = ""
    project: str = ""

    def row(self, with_project: bool = False) -> dict[str, str]:
        """What a table shows of it."""
        shown = {"name": self.name, "status": self.status, "question": self.question, "detail": self.detail}
        return {"project": self.project, **shown} if with_project else shown

    @property
    def subject(self) -> str:
        """What was checked, in a few words."""
        return f"{self.name} of {self.project}" if self.project else self.name


def check_all(settings: Settings, lake: Lake, projects: Sequence[Project] = ()) -> Iterator[Finding]:
    """Check the settings of each project, what the service says to them, the machine, and the lake.

    Without projects, `settings` are those of the only one.
    """
    if not projects:
        yield from _of_service(settings)
    for project in projects:
        yield from _of_project(project)
    yield _space(lake)
    yield from _of_lake(settings, lake)


def check_service(settings: Settings, lake: Lake) -> Iterator[Finding]:
    """Check all that a first sweep needs."""
    yield from _of_service(settings)
    yield _space(lake)


def _of_project(project: Project) -> Iterator[Finding]:
    """The checks of one project of several, which say whose they are."""
    try:
        found = list(_of_service(project.settings()))
    except UsageError as error:
        found = [Finding("settings", "fail", SUFFICE, str(error))]
    yield from (replace(finding, project=project.name) for finding in found)


def _of_service(settings: Settings) -> Iterator[Finding]:
    """The checks of the settings, and of what the service says to them."""
    yield _tried("settings", SUFFICE, lambda: sweep.check(settings))
    pages: list[Page] = []
    yield _tried("source", "Does the service answer?", lambda: _ask(settings, pages))
    yield from (_clock(page, datetime.now(UTC)) for page in pages)


def _of_lake(settings: Settings, lake: Lake) -> Iterator[Finding]:
    """The checks of the lake, and of the data in it if it can be read."""
    found = _tried("lake", "Is there a lake that can be read?", lambda: _open(lake))
    yield found
    if found.status == "ok":
        try:
            with damage.named(lake.root):
                yield _freshness(settings, lake, datetime.now(UTC))
                if lake.store.tears:
                    yield _view_file(lake)
                yield from check_data(lake)
        except damage.Damaged as damaged:
            yield Finding("files", "fail", "Can the files of the lake be read?", str(damaged))


def _open(lake: Lake) -> None:
    """Raise UsageError unless the lake is one whose tables can be opened."""
    lake.check()
    with damage.named(lake.root):
        views.connect(lake).close()


def _tried(name: str, question: str, attempt: Callable[[], str | None]) -> Finding:
    """A check that fails with the error that the attempt raises."""
    try:
        return Finding(name, "ok", question, attempt() or "")
    except DemeterError as error:
        return Finding(name, "fail", question, str(error))


def _ask(settings: Settings, pages: list[Page]) -> str:
    """Ask for one instance of all users, keep the page, and say what the service told."""
    sweep.check(settings)
    try:
        page = _one_instance(settings, show_self=False)
    except Refused as refused:
        _check_own(settings, refused)
        raise
    pages.append(page)
    return f"{page.total_count} instances; its clock is {page.observed_at:%Y-%m-%d %H:%M:%SZ}"


def _one_instance(settings: Settings, *, show_self: bool) -> Page:
    """The smallest page of the first slice, once what comes before it was listed as well."""
    scope = Scope(show_self=show_self, api=settings.api)
    client = Client(replace(settings, attempts=1))
    *_, page = (_small_page(client, text) for text in (*scope.catalogue, scope.slices()[0]))
    return page


def _small_page(client: Client, text: str) -> Page:
    resource, connection = apis.resource(text), duckdb.connect()
    path, params = apis.request(client.settings.project_id, text, 0, resource.size(1))
    return client.get(path, params, lambda answer: read_page(answer.body, answer.date, connection, resource))


def _check_own(settings: Settings, refused: Refused) -> None:
    """Say so where a user who was forbidden to list all instances may list its own."""
    if "(403)" not in str(refused):
        return
    try:
        _one_instance(settings, show_self=True)
    except DemeterError:
        return
    path, _ = apis.request(settings.project_id, Scope(api=settings.api).text, 0, 0)
    raise Refused(
        "the user may list its own instances only, and is forbidden those of others (403): grant it "
        f"{apis.action(path)} on the whole project, or sweep with --show-self"
    )


def _clock(page: Page, now: datetime) -> Finding:
    """Whether this machine's clock is that of the service."""
    skew = now - page.observed_at
    question = "Is this machine's clock that of the service?"
    if abs(skew) <= MOST_SKEW:
        return Finding("clock", "ok", question)
    way = "ahead" if skew > timedelta(0) else "behind"
    detail = f"it is {abs(skew.total_seconds()):,.0f} seconds {way}: set it by NTP, or signatures are refused"
    return Finding("clock", "warn", question, detail)


def _space(lake: Lake) -> Finding:
    """Whether there is room for more sweeps where the lake is, or will be."""
    spill = lake.store.spill
    place = next(each for each in (spill, *spill.parents) if each.exists())
    usage = shutil.disk_usage(place)
    enough = usage.free >= max(LEAST_FREE_BYTES, LEAST_FREE_SHARE * usage.total)
    detail = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB are free"
    advice = "" if enough else ": run `demeter maintain`, or make room"
    return Finding(
        "space", "ok" if enough else "warn", "Is there room for the lake to grow?", detail + advice
    )


def _freshness(settings: Settings, lake: Lake, now: datetime) -> Finding:
    """Whether the last complete sweep of each project is recent: as the setting says, or as is usual."""
    question, limit = "Is the last complete sweep recent?", settings.max_sweep_age_minutes * 60
    with views.connect(lake) as connection:
        ends = connection.execute(_LAST_COMPLETE).fetchall()
    ages = [(project, (now - at).total_seconds(), usual) for project, at, usual in ends]
    late = [
        f"that of {project} ended {age / 60:,.0f} minutes ago"
        for project, age, usual in ages
        if age > (limit or MANY_INTERVALS * (usual or float("inf")))
    ]
    if not ages:
        late = ["there is none"]
    return Finding("freshness", ("fail" if limit else "warn") if late else "ok", question, "; ".join(late))


def _view_file(lake: Lake) -> Finding:
    """Whether the file that other clients open shows what the lake holds."""
    question, path = "Does the file of the views show the last sweep?", lake.path / viewfile.FILE
    with views.connect(lake) as connection:
        wanted = connection.execute("from sweeps select count(*), max(sweep_id)").fetchone()
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            shown = connection.execute("from sweeps select count(*), max(sweep_id)").fetchone()
    except duckdb.Error:
        shown = None
    if shown == wanted:
        return Finding("view_file", "ok", question)
    said = "is behind" if shown else "cannot be read"
    return Finding("view_file", "warn", question, f"{path} {said}: the next sweep or build writes it anew")


def check_data(lake: Lake) -> list[Finding]:
    """Run every check of sql/checks over the lake as it is published."""
    lake.check()
    connection = views.connect(lake)
    built = marts.published(lake) is not None
    return [_judged(connection, name, built) for name in sqlfiles.names(KIND)]


def check_built(
    connection: duckdb.DuckDBPyConnection, relations: Iterable[str], all_days: bool
) -> list[Finding]:
    """Run the checks of these marts as a connection holds them, of all days or only of some."""
    names = those_of(relations)
    return [_judged(connection, name, True) for name in names if all_days or not _is_of_all_days(name)]


def those_of(relations: Iterable[str]) -> list[str]:
    """The names of the checks that read any of these marts."""
    reads_mart = re.compile(rf"\b(?:from|join)\s+(?:{'|'.join(relations)})\b")
    return [name for name in sqlfiles.names(KIND) if reads_mart.search(sqlfiles.text(KIND, name))]


def worst(rounds: Iterable[list[Finding]]) -> list[Finding]:
    """One finding of each check that was run over several parts: the first one that is not ok, if any is."""
    found: dict[str, Finding] = {}
    for each in chain.from_iterable(rounds):
        if each.name not in found or found[each.name].status == "ok":
            found[each.name] = each
    return [found[name] for name in sorted(found)]


def _is_of_all_days(name: str) -> bool:
    """Whether a check holds of all days together and not of each."""
    return "Of all days only" in sqlfiles.text(KIND, name)


def _judged(connection: duckdb.DuckDBPyConnection, name: str, built: bool) -> Finding:
    """The outcome of one check; what cannot be asked yet, since nothing is built, is said to be so."""
    try:
        result = connection.execute(sqlfiles.text(KIND, name))
        rows = result.fetchall()
    except duckdb.CatalogException:
        if built:
            raise
        return replace(judgement(name, 0, {}), detail="not built yet")
    columns = [column[0] for column in result.description or ()]
    return judgement(name, len(rows), dict(zip(columns, rows[0], strict=True)) if rows else {})


def judgement(name: str, count: int, example: Mapping[str, Any]) -> Finding:
    """The outcome of a check that found so many rows, with one of them as an example."""
    text = sqlfiles.text(KIND, name)
    question = text.splitlines()[0].removeprefix("-- ")
    severity = re.search(r"^-- Severity: (warn|fail)$", text, re.MULTILINE)
    if severity is None:
        raise DemeterError(f"the check {name} has no severity: write `-- Severity: fail` into its file")
    if not count:
        return Finding(name, "ok", question)
    told = ", ".join(f"{column} {value}" for column, value in example.items() if value is not None)
    return Finding(name, severity.group(1), question, f"{count} rows, e.g. {told}")
