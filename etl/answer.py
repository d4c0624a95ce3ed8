"""What an answer of the service means: done, again, or an error that says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from etl.apis import action
from etl.errors import Refused, UsageError
from etl.transport import instant

RETRIED = {408, 425, 429}
WINDOW = re.compile(r"time:\s*\d+\s*(second|minute|hour)")
WINDOW_SECONDS = {"second": 3.0, "minute": 20.0, "hour": 60.0}
SMALL_BYTES = 4096  # an error body is smaller, nearly every page larger
# Codes that refuse the credentials whatever the status: a token's, and an access key's.
REFUSALS = ("ModelArts.6401", "APIGW.0307", "ModelArts.0206")


class BadRequest(UsageError):
    """The service answered 400: something asked for is not to its liking."""


class CredentialsRefused(Refused):
    """The service does not take whoever asks for whom it says to be, whatever is asked for."""


@dataclass(frozen=True)
class Answer:
    """An answer of the service, its body already redacted; `received_bytes` counts the body as sent."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    date: datetime
    received_bytes: int


class Again(Exception):
    """A request failed in a way that may pass; `wait_seconds` is how long the service asks to wait.

    `down` is the host that seems to be out of service, if one does.
    """

    def __init__(self, reason: str, wait_seconds: float | None = None, down: str = "") -> None:
        super().__init__(reason)
        self.wait_seconds, self.down = wait_seconds, down


def raise_for(answer: Answer, url: str) -> None:
    """Raise what a status other than success means; see the error table of the API reference."""
    host, path = urlsplit(url).hostname or "", urlsplit(url).path
    status = answer.status
    if status < 300:
        return
    said = said_in(answer)
    if status in RETRIED or status >= 500:
        down = host if status >= 500 else ""
        raise Again(f"the service answered {status}{said}", asked_to_wait(answer), down)
    if status == 403:
        raise Refused(f"the service forbids this (403){said}: the user needs {action(path)}, so grant it")
    if status == 400:
        raise BadRequest(
            f"the service did not accept the request (400){said}: check the options, and project_id"
        )
    if status == 404:
        raise UsageError(f"there is no such listing (404){said}: check the endpoint and project_id")
    if status == 407:
        raise UsageError("the proxy wants a user and password (407): put them in the URL of DEMETER_PROXY")
    if status < 400:
        raise UsageError(f"the endpoint redirects to nowhere ({status}): check DEMETER_ENDPOINT")
    raise UsageError(f"the service did not accept the request ({status}){said}: check endpoint and proxy")


def refuses(answer: Answer) -> bool:
    """Whether the credentials are not good, or no longer; some gateways say so with another status."""
    if answer.status == 401:
        return True
    return len(answer.body) < SMALL_BYTES and any(code in said_in(answer) for code in REFUSALS)


def said_in(answer: Answer) -> str:
    """The code and message of an error body in whichever of its shapes, for an error line."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if not isinstance(body, dict):
        return ""
    names = ("error_code", "errorCode", "code", "error_msg", "error_message", "errorMsg", "message")
    words = [str(body[name]) for name in names if body.get(name)]
    return " " + " ".join(" ".join(words).split())[:300] if words else ""


def asked_to_wait(answer: Answer) -> float | None:
    """Seconds that the answer asks to wait: Retry-After in either form, or the throttling window."""
    value = answer.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    until = instant(value)
    if until:
        return max(0.0, (until - answer.date).total_seconds())
    window = WINDOW.search(answer.body.decode(errors="replace")) if answer.status == 429 else None
    return WINDOW_SECONDS[window.group(1)] if window else None
