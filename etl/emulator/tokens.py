"""Tokens as IAM issues them: for a user, in one project or the account, for a time, against a password."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from etl.emulator import answers
from etl.emulator.answers import Answer, Declined
from etl.emulator.clock import Clock, iam_date

OF_ACCOUNT = ""  # In the place of a project, where a token is for the whole account.


@dataclass(frozen=True)
class Account:
    """Who may ask for tokens, and the projects, by name, that they may be for."""

    user: str
    user_id: str
    password: str
    domain: str
    projects: Mapping[str, str]


@dataclass
class Token:
    """A token that was issued, and how often it has been used."""

    text: str
    project_id: str
    issued_us: int
    expires_us: int
    uses: int = 0


class Tokens:
    """The tokens that were issued, good until they expire on the clock."""

    def __init__(self, account: Account, clock: Clock, token_seconds: float) -> None:
        self.account = account
        self._clock = clock
        self._lifetime_us = int(token_seconds * 1_000_000)
        self._issued: dict[str, Token] = {}
        self._lock = threading.RLock()

    def issue(self, project_id: str) -> Token:
        """A new token; those issued before stay good."""
        now_us = self._clock.now_us()
        with self._lock:
            text = _token_text(len(self._issued), project_id)
            token = Token(text, project_id, now_us, now_us + self._lifetime_us)
            self._issued[text] = token
        return token

    def current(self, project_id: str, uses: int | None) -> str:
        """A token that is good for a project now: the last one, or a new one."""
        with self._lock:
            for token in reversed(self._issued.values()):
                if token.project_id == project_id and not self._is_spent(token, uses):
                    return token.text
            return self.issue(project_id).text

    def use(self, text: str | None, project_id: str | None, uses: int | None) -> None:
        """Count one use of a token; raise Declined unless it is good for the project, or any."""
        if not text:
            raise Declined(answers.NO_TOKEN)
        token = self._issued.get(text)
        if token is None:
            raise Declined(answers.TOKEN_INVALID)
        if self._is_spent(token, uses):
            raise Declined(answers.TOKEN_EXPIRED)
        if project_id is not None and token.project_id != project_id:
            raise Declined(answers.PROJECT_MISMATCH)
        token.uses += 1

    def expire_all(self) -> None:
        """Make every token that was issued so far expire at once."""
        with self._lock:
            for token in self._issued.values():
                token.expires_us = min(token.expires_us, self._clock.now_us())

    def grant(self, body: bytes) -> Answer:
        """Answer a request for a token: 201, the token in a header; raise Declined if refused."""
        token = self.issue(self._project_asked_for(_identity(body)))
        described = {"token": self._described(token)}
        return answers.of_json(201, described, X_Subject_Token=token.text)

    def projects(self) -> Answer:
        """The projects that the user may see, as GET /v3/auth/projects lists them."""
        domain_id = _hexadecimal(self.account.domain)
        rows = [
            {
                "domain_id": domain_id,
                "is_domain": False,
                "parent_id": domain_id,
                "name": name,
                "description": "",
                "id": project_id,
                "enabled": True,
            }
            for name, project_id in self.account.projects.items()
        ]
        return answers.of_json(200, {"projects": rows, "links": {"next": None, "previous": None}})

    def _is_spent(self, token: Token, uses: int | None) -> bool:
        used_up = uses is not None and token.uses >= uses
        return used_up or self._clock.now_us() >= token.expires_us

    def _project_asked_for(self, auth: Mapping[str, Any]) -> str:
        account, user = self.account, auth["identity"]["password"]["user"]
        given = (user.get("name"), user.get("password"), user.get("domain", {}).get("name"))
        if given != (account.user, account.password, account.domain):
            raise Declined(answers.IAM_REFUSED)
        scope = auth.get("scope", {})
        if scope.get("domain") == {"name": account.domain}:
            return OF_ACCOUNT
        project = scope.get("project")
        if not project:
            raise Declined(answers.iam(403, "The token is not project-scoped.", "Forbidden"))
        asked = account.projects.get(project.get("name")) or project.get("id")
        if asked not in account.projects.values():
            raise Declined(answers.iam(401, "The project does not exist.", "Unauthorized"))
        return str(asked)

    def _described(self, token: Token) -> dict[str, Any]:
        account = self.account
        domain = {"id": _hexadecimal(account.domain), "name": account.domain}
        names = {project_id: name for name, project_id in account.projects.items()}
        project = {"domain": domain, "id": token.project_id, "name": names.get(token.project_id)}
        scope = {"domain": domain} if token.project_id == OF_ACCOUNT else {"project": project}
        return {
            "catalog": [],
            "expires_at": iam_date(token.expires_us),
            "issued_at": iam_date(token.issued_us),
            "methods": ["password"],
            **scope,
            "roles": [{"id": "0", "name": "te_admin"}],
            "user": {"domain": domain, "id": account.user_id, "name": account.user},
        }


def _identity(body: bytes) -> Mapping[str, Any]:
    try:
        auth = orjson.loads(body)["auth"]
        user, scope = auth["identity"]["password"]["user"], auth.get("scope", {})
        parts = (user, user.get("domain", {}), scope, scope.get("project", {}))
        well_formed = all(isinstance(part, dict) for part in parts)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        well_formed = False
    if not well_formed or "password" not in auth["identity"].get("methods", ()):
        raise Declined(answers.IAM_MALFORMED)
    return dict(auth)


def _hexadecimal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _token_text(number: int, project_id: str) -> str:
    # As long as a small real one, which is a signed blob of kilobytes that begins with MII.
    blocks = (hashlib.sha512(f"{project_id}/{number}/{block}".encode()) for block in range(16))
    return "MII" + base64.b64encode(b"".join(block.digest() for block in blocks)).decode()
