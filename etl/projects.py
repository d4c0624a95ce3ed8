"""The projects of a run, each with settings of its own; and how the work on all of them ended."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etl import settings, sources
from etl.auth import WAYS
from etl.errors import DemeterError, UsageError
from etl.settings import NAMES, Settings
from etl.sources import TABLES, Said, Values

# What a run with several errors ends with: what does not mend itself first, what needs nothing done last.
WORST_FIRST = (1, 2, 5, 6, 3, 4, 7)
MOST_NAMED = 20
# Of a project that no table is about.
ID = re.compile(r"[0-9a-f]{32}")
# What says who demeter is: a project that has a way of its own takes none of these from what is said of all.
IDENTITY = (*WAYS, "sk", "security_token")


@dataclass(frozen=True)
class Project:
    """A project by the name of its table, or the one it has in IAM, and what is said of it, the strongest
    last; without a name where the settings are of one project alone."""

    name: str
    said: Callable[[], list[tuple[str, Values]]]
    in_iam: str = ""

    def settings(self) -> Settings:
        """Its settings; UsageError names what is malformed and where it was said."""
        return settings.placed(settings.settled(self.said()), self.in_iam)


@dataclass(frozen=True)
class Outcome:
    """How the work on a project ended: with an error, or well. Where nothing `came`, it ended before
    anything was committed. What is known of it besides was `found`."""

    project: Project
    error: DemeterError | None
    came: bool = True
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """The exit status that it would end with by itself."""
        return self.error.exit_status if self.error else 0


class SomeFailed(DemeterError):
    """Of several projects some failed; its exit status is that of the worst."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        failed = [each for each in outcomes if each.error]
        names = ", ".join(f"{each.project.name} ({each.exit_status})" for each in failed[:MOST_NAMED])
        rest = len(failed) - MOST_NAMED
        names += f" and {rest} more" if rest > 0 else ""
        super().__init__(f"{len(failed)} of {len(outcomes)} projects failed: {names}; each is told of above")
        self.exit_status = worst([each.exit_status for each in failed])


def projects_of(
    file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> list[Project]:
    """The projects that the settings name, or the one whose id or name `project_id` is.

    Without tables it is one, whatever is set. UsageError where the file is malformed.
    """
    said = sources.read(file)
    asked = options.get("project_id") or environment.get("DEMETER_PROJECT_ID")
    if not said.projects:
        return [_alone(said, options, environment)]
    _check_ids(said, environment)
    rest = {name: value for name, value in options.items() if name != "project_id"}
    known = [_of_table(said, name, rest, environment) for name in said.projects]
    if not asked:
        return known
    chosen = [each for each in known if asked in (each.name, id_of(said, each.name, environment))]
    if not chosen and not ID.fullmatch(asked):
        names = ", ".join(each.name for each in known[:MOST_NAMED])
        raise UsageError(f"the settings name no project {asked!r} (they name {names}), nor is it an id")
    return chosen or [_alone(said, options, environment)]


def one_of(file: Path | None, options: Mapping[str, Any]) -> Settings:
    """The settings of a command that is about one project; UsageError where several could be meant."""
    found = projects_of(file, options)
    if len(found) > 1:
        raise UsageError(
            f"the settings are of {len(found)} projects: name one with --project-id "
            f"({', '.join(each.name for each in found)}), or sweep all of them with --all"
        )
    return found[0].settings()


def worst(statuses: Sequence[int]) -> int:
    """The exit status of a run that has several; 0 where there is none."""
    return min((status for status in statuses if status), key=WORST_FIRST.index, default=0)


def worst_of(errors: Iterable[DemeterError | None]) -> DemeterError | None:
    """The error that a run with several ends with, the first of its kind; None where there is none."""
    return min(filter(None, errors), key=lambda error: WORST_FIRST.index(error.exit_status), default=None)


def attempt(project: Project, work: Callable[[Project], DemeterError | None]) -> Outcome:
    """Work on a project; what is wrong with it is in the outcome, but for a defect."""
    try:
        return Outcome(project, work(project))
    except DemeterError as error:
        return Outcome(project, error, came=False)


def error_of(outcomes: Sequence[Outcome]) -> DemeterError | None:
    """What is wrong with all that was worked on; the error itself where that is one project alone."""
    if not outcomes[0].project.name:
        return outcomes[0].error
    return SomeFailed(outcomes) if any(each.error for each in outcomes) else None


def _alone(said: Said, options: Mapping[str, Any], environment: Mapping[str, str]) -> Project:
    """The one project that a file without a table for it, the environment and options are of."""
    return Project("", lambda: [*settings.common(said, environment), ("the command line", options)])


def _of_table(said: Said, name: str, options: Values, environment: Mapping[str, str]) -> Project:
    def all_said() -> list[tuple[str, Values]]:
        where = f"{said.path}, [{TABLES}.{name}]"
        own: list[tuple[str, Values]] = [
            (where, sources.with_secrets(said.projects[name], where)),
            ("the environment", sources.of_environment(environment, NAMES, name)),
        ]
        shared = settings.common(_without_id(said), _without_id_in(environment))
        if any(way in values for _, values in own for way in WAYS):
            shared = [(source, _without(values, IDENTITY)) for source, values in shared]
        return [*shared, *own, ("the command line", options)]

    return Project(name, all_said)


def _check_ids(said: Said, environment: Mapping[str, str]) -> None:
    """Raise UsageError where it is not clear which project is meant by an id."""
    if "project_id" in said.common:
        raise UsageError(
            f"{said.path} sets project_id beside tables of projects: give it a [{TABLES}.NAME] of its own"
        )
    seen: dict[Any, str] = {}
    for name in said.projects:
        project_id = id_of(said, name, environment)
        if project_id and seen.setdefault(project_id, name) != name:
            raise UsageError(
                f"{said.path} has the project {project_id} twice, as {seen[project_id]} and {name}: keep one"
            )


def id_of(said: Said, name: str, environment: Mapping[str, str]) -> Any:
    """The id of a project, as its table or its variable in the environment says it."""
    own = sources.of_environment(environment, ("project_id",), name)
    return own.get("project_id") or said.projects[name].get("project_id")


def _without_id(said: Said) -> Said:
    return Said(said.path, _without(said.common, ("project_id",)))


def _without_id_in(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment without the id that picked the project, or a name in its place."""
    return _without(environment, ("DEMETER_PROJECT_ID",))


def _without(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
