"""A row of the listing, whatever it comes from: what it is filtered and sorted by, and its JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from etl.emulator.parameters import Query

Document = Mapping[str, Any] | bytes


class Caller(NamedTuple):
    """The user whom the tokens are issued to; an id of None owns every row."""

    user_id: str | None
    name: str


class Row(Protocol):
    """What a listing needs to know of an instance; None where a document does not say."""

    @property
    def instance_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def created_ms(self) -> int: ...
    @property
    def status(self) -> str | None: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def workspace_id(self) -> str | None: ...
    @property
    def ai_project_id(self) -> str | None: ...
    @property
    def pool_id(self) -> str | None: ...

    def body(self, now_us: int) -> bytes:
        """The row as JSON at an instant."""
        ...


class Source(Protocol):
    """Where the rows of one project come from."""

    @property
    def caller(self) -> Caller: ...
    @property
    def verbatim(self) -> bytes | None: ...
    @property
    def planted_secrets(self) -> Sequence[str]: ...

    def rows_at(self, now_us: int) -> Sequence[Row]:
        """The rows of an instant; the same sequence, not an equal one, until something changes."""
        ...

    def take_vanished(self) -> set[str]:
        """The ids that were away at some instant since this was last asked."""
        ...


class Listable(Protocol):
    """What a service can be made of: the instances of one project, at any instant."""

    @property
    def starts_at(self) -> str: ...

    def source(self) -> Source:
        """Rows that move with the clock of one service."""
        ...


class DocumentRow:
    """A row that is a given document, and stays as it is."""

    __slots__ = (
        "_body", "ai_project_id", "created_ms", "instance_id", "name", "pool_id", "status",
        "user_id", "workspace_id",
    )  # fmt: skip

    def __init__(self, document: Document) -> None:
        self._body = document if isinstance(document, bytes) else orjson.dumps(document)
        fields = fields_of(document)
        self.instance_id = str(fields.get("id") or "")
        self.name = str(fields.get("name") or "")
        self.created_ms = _whole_number(fields.get("creation_timestamp") or fields.get("create_at"))
        self.status = _text(fields.get("status"))
        self.user_id = _id_in(fields, "user")
        self.workspace_id = _id_in(fields, "workspace")
        self.ai_project_id = _id_in(fields, "ai_project")
        self.pool_id = _id_in(fields, "pool")

    def body(self, now_us: int) -> bytes:
        """The document, byte for byte where it was given as bytes."""
        return self._body


class Documents:
    """A source that serves exactly the documents that it is given, in their order."""

    def __init__(
        self,
        documents: Iterable[Document],
        starts_at: str = "2026-10-12T00:00:00Z",
        verbatim: bytes | None = None,
    ) -> None:
        self.starts_at = starts_at
        self.verbatim = verbatim
        self.planted_secrets: Sequence[str] = ()
        self._rows = [DocumentRow(document) for document in documents]
        fields = [fields_of(row.body(0)) for row in self._rows[:1]]
        user = fields[0].get("user") if fields else None
        user = user if isinstance(user, Mapping) else {}
        self.caller = Caller(_text(user.get("id")), _text(user.get("name")) or "operator")

    def source(self) -> Source:
        """The documents themselves: they do not move."""
        return self

    def rows_at(self, now_us: int) -> Sequence[Row]:
        """All rows, at any instant."""
        return self._rows

    def take_vanished(self) -> set[str]:
        """Nothing: a document stays."""
        return set()


def fields_of(document: Document) -> Mapping[str, Any]:
    """The fields of a document; none where it is no JSON object."""
    if not isinstance(document, bytes):
        return document
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def selected(rows: Iterable[Row], query: Query, caller_id: str | None) -> list[Row]:
    """The rows that a query asks for, unsorted; a row without a user is everybody's own."""
    wanted = {
        "status": query.status,
        "workspace_id": query.workspace_id,
        "ai_project_id": query.ai_project_id,
        "pool_id": query.pool_id,
    }
    chosen = list(rows)
    for name, value in wanted.items():
        if value is not None:
            chosen = [row for row in chosen if getattr(row, name) == value]
    if query.own_only and caller_id is not None:
        chosen = [row for row in chosen if row.user_id in (caller_id, None)]
    return chosen


def ordered(rows: list[Row], query: Query) -> list[Row]:
    """The rows in the order asked for, by name unless it says otherwise; ties stay as they were."""
    if query.sort_key == "creation_timestamp":
        return sorted(rows, key=lambda row: row.created_ms, reverse=query.descending)
    return sorted(rows, key=lambda row: row.name, reverse=query.descending)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole_number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def _id_in(fields: Mapping[str, Any], name: str) -> str | None:
    holder = fields.get(name)
    return _text(holder.get("id")) if isinstance(holder, Mapping) else None
