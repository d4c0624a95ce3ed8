"""The one place that sends requests: time-outs, retries, throttling, tokens and limits."""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity

from etl import __version__
from etl.auth import TOKEN_HEADER, TOKEN_PATH, can_renew, token_request
from etl.errors import Refused, ServiceUnavailable, UsageError
from etl.page import BadPage
from etl.redaction import MASK, redact, redact_text
from etl.settings import Settings

log = logging.getLogger("demeter")
Read = TypeVar("Read")

RETRIED = {408, 425, 429}
WINDOW = re.compile(r"time:\s*\d+\s*(second|minute|hour)")
WINDOW_SECONDS = {"second": 3.0, "minute": 20.0, "hour": 60.0}
CHUNK_BYTES = 1 << 18
SMALL_BYTES = 4096  # an error body is smaller, nearly every page larger
SHORTEST_SECRET = 6  # what is shorter is likely to be a part of other words
TOKEN_EXPIRED = "ModelArts.6401"  # noqa: S105 -- an error code


class BadRequest(UsageError):
    """The service answered 400: something asked for is not to its liking."""


class TooLarge(UsageError):
    """An answer is larger than `response_bytes`."""


@dataclass(frozen=True)
class Answer:
    """An answer of the service, its body already redacted; `received_bytes` counts the body as sent."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    date: datetime
    received_bytes: int


class _Again(Exception):
    """A request failed in a way that may pass; `wait_seconds` is how long the service asks to wait."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Client:
    """Sends the requests of one run; safe to share between threads."""

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self.request_count = self.retry_count = self.received_bytes = 0
        self._sleep = sleep
        self._began = time.monotonic()
        self._next_slot = 0.0
        self._lock = threading.Lock()
        self._token_lock = threading.Lock()
        self._token = settings.token
        self._local = threading.local()

    def get(self, path: str, params: Mapping[str, str | int], read: Callable[[Answer], Read]) -> Read:
        """What `read` makes of the answer to a GET; sent again while answers are broken or busy.

        Raises BadRequest, TooLarge, UsageError, Refused or ServiceUnavailable.
        """
        url = self.settings.endpoint.rstrip("/") + path
        return self._persist(lambda: self._read_once(url, params, read))

    def _read_once(self, url: str, params: Mapping[str, str | int], read: Callable[[Answer], Read]) -> Read:
        token = self._current_token()
        answer = self._send("GET", url, {"X-Auth-Token": token}, params=params)
        if _refuses_token(answer) and self._renew(token):
            answer = self._send("GET", url, {"X-Auth-Token": self._token}, params=params)
        _raise_for(answer)
        try:
            return read(answer)
        except BadPage as bad:
            raise _Again(str(bad)) from None

    def _persist(self, once: Callable[[], Read]) -> Read:
        """Call again while it fails in a way that may pass, within the attempts and the total time."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            wait=_wait_seconds,
            stop=self._is_enough,
            sleep=self._sleep,
            before_sleep=self._note_retry,
            reraise=True,
        )
        try:
            return retrying(once)
        except _Again as last:
            raise ServiceUnavailable(
                f"the service gave out: {last}; run again later, or look at its status"
            ) from None

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        """Whether the attempts are used up, or the next wait would overrun the run's time."""
        spent = time.monotonic() - self._began
        return (
            state.attempt_number >= self.settings.attempts
            or spent + state.upcoming_sleep > self.settings.total_seconds
        )

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        with self._lock:
            self.retry_count += 1
        reason = state.outcome.exception() if state.outcome else ""
        log.warning("%s; trying again in %.1f s", reason, state.upcoming_sleep)

    def _current_token(self) -> str:
        if not self._token:
            self._renew("")
        return self._token

    def _renew(self, refused: str) -> bool:
        """Replace a refused token, once however many threads met the refusal."""
        if not can_renew(self.settings):
            return False
        with self._token_lock:
            if self._token == refused:
                self._token = self._issue_token()
        return True

    def _issue_token(self) -> str:
        url = self.settings.iam_endpoint.rstrip("/") + TOKEN_PATH
        answer = self._send("POST", url, {}, json=token_request(self.settings))
        _raise_for(answer)
        token = answer.headers.get(TOKEN_HEADER, "")
        if answer.status != 201 or not token:
            raise Refused("IAM gave no token: check DEMETER_IAM_ENDPOINT, DEMETER_USER and DEMETER_DOMAIN")
        return token

    def _send(self, method: str, url: str, headers: Mapping[str, str], **parts: Any) -> Answer:
        """Send one request and read its answer, within the rate, the time and the size allowed."""
        self._wait_for_slot()
        with self._lock:
            self.request_count += 1
        try:
            with self._session().request(
                method,
                url,
                headers=headers,
                timeout=self.settings.timeout_seconds,
                allow_redirects=False,
                stream=True,
                **parts,
            ) as response:
                body = self._body(response)
                kept = self._without_own_secrets(redact(body))
                return Answer(response.status_code, kept, response.headers, _date(response), len(body))
        except (requests.exceptions.InvalidHeader, UnicodeError):
            raise UsageError(
                "the token or a URL has characters that cannot be sent: look at DEMETER_TOKEN"
            ) from None
        except requests.exceptions.RequestException as error:
            if _is_for_good(error):
                raise UsageError(f"{url} cannot be used: {redact_text(str(error))}") from None
            raise _Again(f"{urlsplit(url).hostname} did not answer: {_plainly(error)}") from None

    def _without_own_secrets(self, body: bytes) -> bytes:
        """The body without the credentials that it was asked for with, which errors may echo."""
        for secret in (self._token, self.settings.token, self.settings.password):
            if len(secret) >= SHORTEST_SECRET:
                in_json = (json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
                for form in (secret, *in_json):
                    body = body.replace(form.encode(), MASK)
        return body

    def _body(self, response: requests.Response) -> bytes:
        """The body; TooLarge past the limit, and given up when the run's time is over."""
        chunks, size = [], 0
        for chunk in response.iter_content(CHUNK_BYTES):
            size += len(chunk)
            if size > self.settings.response_bytes:
                raise TooLarge(
                    f"an answer is over {self.settings.response_bytes} bytes: "
                    "ask for less at a time with --limit, or raise response_bytes"
                )
            if time.monotonic() - self._began > self.settings.total_seconds:
                raise _Again(f"the run's {self.settings.total_seconds:g} s (total_seconds) are over")
            chunks.append(chunk)
        with self._lock:
            self.received_bytes += size
        return b"".join(chunks)

    def _wait_for_slot(self) -> None:
        """Space out the requests of all threads to `requests_per_second`."""
        with self._lock:
            now = time.monotonic()
            slot = max(now, self._next_slot)
            self._next_slot = slot + 1 / self.settings.requests_per_second
        if slot > now:
            self._sleep(slot - now)

    def _session(self) -> requests.Session:
        """This thread's session, which keeps its connection."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["User-Agent"] = f"demeter/{__version__}"
        session: requests.Session = self._local.session
        return session


def _raise_for(answer: Answer) -> None:
    """Raise what a status other than success means; see the error table of the API reference."""
    status = answer.status
    said = "" if 200 <= status < 300 else _said(answer)
    if _refuses_token(answer):
        raise Refused(
            f"the service refused the credentials ({status}){said}: get a new token, or check the user"
        )
    if status < 300:
        return
    if status in RETRIED or status >= 500:
        raise _Again(f"the service answered {status}{said}", _asked_to_wait(answer))
    if status == 403:
        raise Refused(f"the service forbids this (403){said}: the user needs modelarts:notebook:list")
    if status == 400:
        raise BadRequest(f"the service did not accept the request (400){said}")
    if status == 404:
        raise UsageError(f"there is no such listing (404){said}: check the endpoint and project_id")
    if status < 400:
        raise UsageError(f"the endpoint redirects ({status}): set DEMETER_ENDPOINT to where it leads")
    raise UsageError(f"the service did not accept the request ({status}){said}")


def _refuses_token(answer: Answer) -> bool:
    """Whether the token is not good, or no longer; some gateways say so with status 200."""
    return answer.status == 401 or (len(answer.body) < SMALL_BYTES and TOKEN_EXPIRED in _said(answer))


def _said(answer: Answer) -> str:
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


def _asked_to_wait(answer: Answer) -> float | None:
    """Seconds that the answer asks to wait: Retry-After in either form, or the throttling window."""
    value = answer.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    until = _instant(value)
    if until:
        return max(0.0, (until - answer.date).total_seconds())
    window = WINDOW.search(answer.body.decode(errors="replace")) if answer.status == 429 else None
    return WINDOW_SECONDS[window.group(1)] if window else None


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    """What the service asks for and a little more, or twice as long each time, with jitter."""
    error = state.outcome.exception() if state.outcome else None
    backoff = min(30.0, 0.5 * 2.0**state.attempt_number)
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 -- spreads load, guards nothing
    if isinstance(error, _Again) and error.wait_seconds is not None:
        return error.wait_seconds + jitter
    return backoff * jitter


def _date(response: requests.Response) -> datetime:
    """The service's clock: the Date header, or the local clock where there is none."""
    return _instant(response.headers.get("Date", "")) or datetime.now(UTC)


def _instant(text: str) -> datetime | None:
    """The instant of an HTTP date in whichever of its forms, all of them UTC; None where it is none."""
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _is_for_good(error: requests.exceptions.RequestException) -> bool:
    """Whether the URL or the certificate is at fault, not a connection that broke off."""
    if isinstance(error, requests.exceptions.SSLError):
        return "EOF" not in str(error)
    return isinstance(error, requests.exceptions.InvalidURL)


def _plainly(error: requests.exceptions.RequestException) -> str:
    """What went wrong on the network, in a few words and without a URL."""
    kinds: dict[type[Exception], str] = {
        requests.exceptions.ConnectTimeout: "it could not be reached in time",
        requests.exceptions.Timeout: "it took too long",
        requests.exceptions.ProxyError: "the proxy could not be used",
        requests.exceptions.ChunkedEncodingError: "its answer broke off",
        requests.exceptions.ConnectionError: "the connection failed",
    }
    return next((said for kind, said in kinds.items() if isinstance(error, kind)), type(error).__name__)
