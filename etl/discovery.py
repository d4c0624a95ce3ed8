"""The projects that a user may see, as IAM lists them, beside those that the settings have tables for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etl import projects, settings, sources
from etl.answer import Answer
from etl.auth import check_credentials
from etl.client import Client
from etl.errors import UsageError
from etl.page import BadPage
from etl.projects import Project
from etl.settings import Settings, check_url, require

PATH = "/v3/auth/projects"


@dataclass(frozen=True)
class Listed:
    """A project as IAM lists it; its name begins with its region."""

    project_id: str
    name: str

    @property
    def region(self) -> str:
        """The region, which the name of a project of one's own has an underscore behind."""
        return self.name.partition("_")[0]


def projects_of(
    file: Path | None, options: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> list[Project]:
    """The projects that the settings name and, where they say `discover`, those that IAM lists besides.

    Raises UsageError, Refused or ServiceUnavailable where IAM does not tell them.
    """
    known = projects.projects_of(file, options, environment)
    rest = {name: value for name, value in options.items() if name != "project_id"}
    shared = settings.load(rest, environment, file)
    if not shared.discover or options.get("project_id") or environment.get("DEMETER_PROJECT_ID"):
        return known
    tables = [each for each in known if each.name]
    ids = {projects.id_of(sources.read(file), each.name, environment) for each in tables}
    names = {each.name for each in tables}
    said = [*settings.common(sources.read(file), environment), ("the command line", rest)]
    found = [
        Project(
            each.name,
            lambda each=each: [*said, ("IAM", {"project_id": each.project_id})],  # type: ignore[misc]
            each.name,
        )
        for each in listed(shared)
        if each.project_id not in ids and each.name not in names
    ]
    if not [*tables, *found]:
        raise UsageError("IAM lists no project that is wanted: check the user, and regions")
    return [*tables, *found]


def listed(shared: Settings) -> list[Listed]:
    """The projects of the wanted regions that are enabled, by name (GET /v3/auth/projects)."""
    require(shared, "iam_endpoint")
    check_url(shared.iam_endpoint, "iam_endpoint", shared.allow_http)
    check_credentials(shared)
    # Without a project the token is for the whole account.
    client = Client(replace(shared, endpoint=shared.iam_endpoint, project_id="", region=""))
    wanted = [region.strip() for region in shared.regions.split(",") if region.strip()]
    found = [each for each in client.get(PATH, {}, _read) if not wanted or each.region in wanted]
    return sorted(found, key=lambda each: each.name)


def _read(answer: Answer) -> list[Listed]:
    """The projects in an answer; BadPage where it is none."""
    try:
        rows: Any = json.loads(answer.body)["projects"]
        texts = [(row["id"], row["name"]) for row in rows if row.get("enabled", True)]
        if all(isinstance(text, str) and text for pair in texts for text in pair):
            return [Listed(*pair) for pair in texts]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise BadPage("the answer of IAM is no list of projects")
