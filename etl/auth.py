"""Who we are to the service: a ready token, or a user and password that IAM gives a token for."""

from __future__ import annotations

from typing import Any

from etl.errors import UsageError
from etl.settings import Settings, check_url, require

TOKEN_PATH = "/v3/auth/tokens"  # noqa: S105 -- a path, not a secret
TOKEN_HEADER = "X-Subject-Token"  # noqa: S105 -- a header's name


def check_credentials(settings: Settings) -> None:
    """Raise UsageError unless there is a token, or all that is needed to ask for one."""
    if settings.token:
        _check_token(settings.token)
        return
    if not settings.user:
        raise UsageError(
            "no credentials: set DEMETER_TOKEN, or DEMETER_USER, _PASSWORD, _DOMAIN and _IAM_ENDPOINT"
        )
    require(settings, "password", "domain", "iam_endpoint")
    check_url(settings.iam_endpoint, "iam_endpoint", settings.allow_http)


def _check_token(token: str) -> None:
    """Raise UsageError for what cannot stand in a header, such as a token over two lines."""
    if not (token.isascii() and token.isprintable()):
        raise UsageError("the token has characters in it that no token has: copy it again, in one line")


def can_renew(settings: Settings) -> bool:
    """Whether a refused token can be replaced by a new one."""
    return bool(settings.user and settings.password and settings.iam_endpoint)


def token_request(settings: Settings) -> dict[str, Any]:
    """The body that asks IAM for a project-scoped token (POST /v3/auth/tokens)."""
    project = {"name": settings.region} if settings.region else {"id": settings.project_id}
    user = {
        "name": settings.user,
        "password": settings.password,
        "domain": {"name": settings.domain},
    }
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }
    }
