"""What a sweep is to list: the filters of the reference, and the slices that they make."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode

from etl import apis
from etl.columns import quoted
from etl.errors import UsageError


@dataclass(frozen=True)
class Scope:
    """What of a project is listed, by which API; empty means everything. `split` only divides the work."""

    statuses: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()
    ai_projects: tuple[str, ...] = ()
    show_self: bool = False
    split: bool = False
    api: str = apis.DEMANAGER

    def __post_init__(self) -> None:
        for value in (*self.statuses, *self.pools, *self.workspaces, *self.ai_projects):
            if not value or "," in value:
                raise UsageError(f"{value!r} cannot be listed: give one value an option, and no empty one")
        if self.ai_projects and self.api == apis.NOTEBOOKS:
            raise UsageError(
                "the notebooks API knows no AI projects: leave --ai-project out, or set api to demanager"
            )

    @classmethod
    def of(cls, text: str) -> Scope:
        """The scope that says this text of itself."""
        said = {name: tuple(value.split(",")) for name, (value,) in parse_qs(text).items()}
        return cls(
            said.get("status", ()),
            said.get("pool_id", ()),
            said.get("workspace_id", ()),
            said.get("ai_project", ()),
            said.get("show_self") == ("true",),
            api=said.get("api", (apis.DEMANAGER,))[0],
        )

    @property
    def text(self) -> str:
        """The scope as one query string; several values of a filter stand beside each other."""
        return self.filter(
            status=",".join(sorted(self.statuses)),
            pool_id=",".join(sorted(self.pools)),
            workspace_id=",".join(sorted(self.workspaces)),
            ai_project=",".join(sorted(self.ai_projects)),
        )

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the project is left out."""
        return self.text in WHOLES

    def filter(self, **chosen: str | None) -> str:
        """The query string of a part of the scope."""
        which = {"de_type": "Notebook"} if self.api == apis.DEMANAGER else {"api": self.api}
        fixed = which | {"show_self": str(self.show_self).lower()}
        return urlencode(fixed | {name: value for name, value in chosen.items() if value})

    @property
    def catalogue(self) -> tuple[str, ...]:
        """The filters of what has to be listed before the instances."""
        return (apis.CATALOGUE,) if self.api == apis.NOTEBOOKS else ()

    def slices(self, known_statuses: Sequence[str] = ()) -> tuple[str, ...]:
        """The filters of its slices: one for each combination that was asked for.

        Split, the statuses known to occur divide it further. Pools cannot divide a whole project:
        an instance of the public pool is in none. Several statuses are listed in one walk over all,
        since an instance that moves from one to another could be missed in both.
        """
        statuses: Sequence[str | None] = self.statuses if len(self.statuses) == 1 else [None]
        if self.split and not self.statuses:
            statuses = sorted({*apis.STATUSES[self.api], *known_statuses})
        lists: tuple[Sequence[str | None], ...] = (
            apis.FEATURES if self.api == apis.NOTEBOOKS else [None],
            statuses,
            self.pools or [None],
            self.workspaces or [None],
            self.ai_projects or [None],
        )
        return tuple(
            self.filter(
                feature=feature, status=status, pool_id=pool, workspace_id=workspace, ai_project=ai_project
            )
            for feature, status, pool, workspace, ai_project in itertools.product(*lists)
        )

    def absence(self) -> str:
        """The condition, over a row of `last_instances`, under which an instance that a complete
        sweep of this scope did not have has left.

        A status is not a place: to be missing among the RUNNING is not to have left. Nor does a
        listing of one's own instances say whose they were.
        """
        if self.statuses or self.show_self:
            return "false"
        places = {"pool_id": self.pools, "workspace_id": self.workspaces, "ai_project_id": self.ai_projects}
        conditions = [
            f"{column} in ({', '.join(map(quoted, values))})" for column, values in places.items() if values
        ]
        return " and ".join(conditions) or "true"


# What a sweep of a whole project says of itself, by each API.
WHOLES = tuple(Scope(api=api).text for api in apis.APIS)
WHOLE = WHOLES[0]
