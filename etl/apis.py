"""The APIs that list notebook instances: their addresses, parameters and page sizes, and how a page looks.

`demanager` is the one of the reference; `notebooks` is its successor, which keeps the terms of its flavors
in a list of their own. What is to be listed is a query string here, as in the tables `sweeps` and `slices`;
only this module knows how an API is asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

DEMANAGER, NOTEBOOKS = "demanager", "notebooks"
APIS = (DEMANAGER, NOTEBOOKS)

# Of the successor, the instances of all users have an address of their own.
OWN, ALL, FLAVORS = "notebooks", "notebooks/all", "notebooks/flavors"
# An instance is of one of these for life; the service lists the first only, unless it is asked.
FEATURES = ("NOTEBOOK", "DEFAULT")
CATALOGUE = f"api={NOTEBOOKS}&list=flavors"


@dataclass(frozen=True)
class Resource:
    """A list of the service; `sizes` are the page sizes that it takes, where it does not take any."""

    api: str
    rows: str
    total: str
    sizes: tuple[int, ...] = ()
    is_catalogue: bool = False

    def size(self, wanted: int) -> int:
        """The largest page size up to the one that is wanted, else the smallest."""
        fitting = [each for each in self.sizes if each <= wanted]
        return max(fitting, default=min(self.sizes, default=wanted)) if self.sizes else wanted


INSTANCES = Resource(DEMANAGER, "instances", "total_count")
SUCCESSORS = Resource(NOTEBOOKS, "data", "total", (10, 20, 50))
TERMS = Resource(NOTEBOOKS, "data", "total", is_catalogue=True)

# The statuses that each knows as a filter; others occur.
STATUSES = {
    DEMANAGER: (
        *("CREATING", "CREATE_FAILED", "STARTING", "RESTARTING", "START_FAILED", "RUNNING"),
        *("STOPPING", "STOPPED", "UNAVAILABLE", "DELETED", "RESIZING", "RESIZE_FAILED"),
    ),
    NOTEBOOKS: (
        *("INIT", "CREATING", "CREATE_FAILED", "STARTING", "START_FAILED", "RUNNING", "SNAPSHOTTING"),
        *("STOPPING", "STOPPED", "DELETING", "DELETED", "DELETE_FAILED", "ERROR", "FROZEN"),
    ),
}
# The statuses of the successor that say something under another name than the meter knows it by: while
# its image is saved an instance runs on.
MEANINGS = {"INIT": "CREATING", "SNAPSHOTTING": "RUNNING"}


def action(path: str) -> str:
    """The IAM action that a path wants."""
    return "modelarts:notebook:listAllNotebooks" if path.endswith(f"/{ALL}") else "modelarts:notebook:list"


def resource(text: str) -> Resource:
    """The list that a query string is about."""
    if text == CATALOGUE:
        return TERMS
    return SUCCESSORS if dict(parse_qsl(text)).get("api") == NOTEBOOKS else INSTANCES


def request(project_id: str, text: str, offset: int, limit: int) -> tuple[str, dict[str, str | int]]:
    """The path and the parameters that ask for a part of what a query string is about, oldest first."""
    asked: dict[str, str | int] = dict(parse_qsl(text))
    part: dict[str, str | int] = {"offset": offset, "limit": limit}
    if asked.pop("api", DEMANAGER) == DEMANAGER:
        ordered: dict[str, str | int] = {"sortby": "creation_timestamp", "order": "asc"}
        return f"/v1/{project_id}/demanager/instances", asked | ordered | part
    if text == CATALOGUE:  # all of it comes at once, unless a part is asked for
        return f"/v1/{project_id}/{FLAVORS}", part if offset else {}
    place = OWN if asked.pop("show_self", "false") == "true" else ALL
    if "workspace_id" in asked:
        asked["workspaceId"] = asked.pop("workspace_id")
    return f"/v1/{project_id}/{place}", asked | {"sort_key": "create_at", "sort_dir": "ASC"} | part
