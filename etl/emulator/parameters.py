"""Read the query parameters of the listing, with the defaults that the reference gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from etl.emulator.answers import Declined, demanager

# Table 2 of the reference, and the three that its Chinese edition adds; other statuses exist, but
# cannot be asked for.
STATUSES = frozenset(
    {
        *("CREATING", "CREATE_FAILED", "STARTING", "RESTARTING", "START_FAILED", "RUNNING"),
        *("STOPPING", "STOPPED", "UNAVAILABLE", "DELETED", "RESIZING", "RESIZE_FAILED"),
        *("CREATE_QUEUING", "START_QUEUING", "READY_TO_START"),
    }
)
# Those of the successor, its page sizes, and what it calls an instance that is billed or free.
NOTEBOOK_STATUSES = frozenset(
    {
        *("INIT", "CREATING", "CREATE_FAILED", "STARTING", "START_FAILED", "RUNNING", "SNAPSHOTTING"),
        *("STOPPING", "STOPPED", "DELETING", "DELETED", "DELETE_FAILED", "ERROR", "FROZEN"),
    }
)
SIZES = (10, 20, 50)
FEATURES = ("NOTEBOOK", "DEFAULT")
SORT_KEYS = ("name", "creation_timestamp")
ORDERS = ("asc", "desc")


@dataclass(frozen=True)
class Query:
    """What the caller asked for; None is no filter, and a limit of 0 is all rows."""

    status: str | None = None
    workspace_id: str | None = None
    ai_project_id: str | None = None
    pool_id: str | None = None
    own_only: bool = True
    sort_key: str | None = None
    descending: bool = False
    offset: int = 0
    limit: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether every row is asked for, in whatever order the service has them."""
        filters = (self.status, self.workspace_id, self.ai_project_id, self.pool_id)
        unpaged = self.offset == 0 and self.limit == 0
        return unpaged and self.sort_key is None and filters == (None,) * 4


@dataclass(frozen=True)
class NotebookQuery:
    """What the caller of the successor asked for: a query of the same rows, and its own filters."""

    rows: Query
    feature: str
    status: str | None


def read_notebook_query(parameters: Mapping[str, str], *, own_only: bool) -> NotebookQuery:
    """The query of the successor that the parameters say; raise Declined where it would refuse one."""
    _one_of(parameters, "sort_key", ("create_at",), "create_at")
    limit = _count(parameters, "limit") or SIZES[0]
    if limit not in SIZES:
        raise _wrong_value("limit")
    status = parameters.get("status") or None
    if status is not None and status not in NOTEBOOK_STATUSES:
        raise _wrong_value("status")
    rows = Query(
        workspace_id=parameters.get("workspaceId") or None,
        pool_id=parameters.get("pool_id") or None,
        own_only=own_only,
        sort_key="creation_timestamp",
        descending=_one_of(parameters, "sort_dir", ("ASC", "DESC"), "DESC") == "DESC",
        offset=_count(parameters, "offset"),
        limit=limit,
    )
    return NotebookQuery(rows, _one_of(parameters, "feature", FEATURES, FEATURES[0]), status)


def read_query(parameters: Mapping[str, str]) -> Query:
    """The query that the parameters say; raise Declined where the service would refuse one."""
    _require_type(parameters)
    _one_of(parameters, "provision_type", ("Docker",), "Docker")
    return Query(
        status=_status(parameters),
        workspace_id=parameters.get("workspace_id") or None,
        ai_project_id=parameters.get("ai_project") or None,
        pool_id=parameters.get("pool_id") or None,
        own_only=_one_of(parameters, "show_self", ("true", "false"), "true") == "true",
        sort_key=_sort_key(parameters),
        descending=_one_of(parameters, "order", ORDERS, "asc") == "desc",
        offset=_count(parameters, "offset"),
        limit=_count(parameters, "limit"),
    )


def _require_type(parameters: Mapping[str, str]) -> None:
    if not parameters.get("de_type"):
        raise Declined(demanager(400, "ModelArts.6335", "The parameter de_type is missing."))
    if parameters["de_type"] != "Notebook":
        raise _wrong_value("de_type")


def _status(parameters: Mapping[str, str]) -> str | None:
    status = parameters.get("status") or None
    if status is not None and status not in STATUSES:
        raise _wrong_value("status")
    return status


def _sort_key(parameters: Mapping[str, str]) -> str | None:
    key = parameters.get("sortby") or None
    if key is not None and key not in SORT_KEYS:
        message = f"The field {key} does not support sorting."
        raise Declined(demanager(400, "ModelArts.6303", message))
    return key


def _one_of(parameters: Mapping[str, str], name: str, known: tuple[str, ...], usual: str) -> str:
    text = parameters.get(name) or usual
    if text not in known:
        raise _wrong_value(name)
    return text


def _count(parameters: Mapping[str, str], name: str) -> int:
    text = parameters.get(name) or "0"
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        message = f"The type of the parameter {name} is incorrect."
        raise Declined(demanager(400, "ModelArts.6332", message))
    if text.startswith("-"):
        raise _wrong_value(name)
    return int(text)


def _wrong_value(name: str) -> Declined:
    message = f"The value of the parameter {name} is incorrect."
    return Declined(demanager(400, "ModelArts.6336", message))
