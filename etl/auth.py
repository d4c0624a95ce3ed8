"""Who we are to the service: a ready token, a command or a user that gives one, or an access key."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from etl.errors import UsageError
from etl.settings import Settings, check_url, require

WAYS = ("token", "ak", "token_command", "user")
SIGNER = "huaweicloudsdkcore"


def check_credentials(settings: Settings) -> None:
    """Raise UsageError unless there is one way to be known to the service, and all of it."""
    given = [name for name in WAYS if getattr(settings, name)]
    if len(given) > 1 and given != ["token", "token_command"] and given != ["token", "user"]:
        raise UsageError(f"{' and '.join(given)} are set, and each is a way to sign in: keep one of them")
    if settings.ak or settings.sk:
        _check_key(settings)
    elif settings.token:
        check_token(settings.token)
    elif settings.user:
        require(settings, "password", "domain", "iam_endpoint")
    elif not settings.token_command:
        raise UsageError(
            "no credentials: set DEMETER_TOKEN, or DEMETER_AK and _SK, "
            "or DEMETER_USER, _PASSWORD, _DOMAIN and _IAM_ENDPOINT"
        )
    if can_ask_iam(settings):
        check_url(settings.iam_endpoint, "iam_endpoint", settings.allow_http)


def check_token(token: str) -> None:
    """Raise UsageError for what cannot stand in a header, such as a token over two lines."""
    _check_header(token, "token")


def can_ask_iam(settings: Settings) -> bool:
    """Whether IAM can be asked for a token."""
    return bool(settings.user and settings.password and settings.iam_endpoint)


def token_request(settings: Settings) -> dict[str, Any]:
    """The body that asks IAM for a token (POST /v3/auth/tokens): of the project, else of the account."""
    project = {"name": settings.region} if settings.region else {"id": settings.project_id}
    domain = {"domain": {"name": settings.domain}}
    user = {
        "name": settings.user,
        "password": settings.password,
        "domain": {"name": settings.domain},
    }
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project} if settings.region or settings.project_id else domain,
        }
    }


def _check_key(settings: Settings) -> None:
    """Raise UsageError unless requests can be signed with the access key."""
    require(settings, "ak", "sk")
    _check_header(settings.ak, "ak")
    _check_header(settings.security_token, "security_token")
    if find_spec(SIGNER) is None:
        raise UsageError("an access key needs the signer of Huawei: pip install 'demeter-etl[aksk]'")


def _check_header(text: str, name: str) -> None:
    if not (text.isascii() and (not text or text.isprintable())):
        raise UsageError(f"the {name} has characters in it that no {name} has: copy it again, in one line")
