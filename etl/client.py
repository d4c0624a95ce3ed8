"""The one place that asks the service: retries, throttling, credentials, and what an answer means."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn, Protocol, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

import tenacity

from etl.answer import (
    RETRIED,
    Again,
    Answer,
    BadRequest,
    CredentialsRefused,
    raise_for,
    refuses,
    said_in,
)
from etl.auth import token_request
from etl.errors import DemeterError, Refused, ServiceUnavailable, UsageError
from etl.failures import Unreached
from etl.pacing import Pace
from etl.page import BadPage
from etl.redaction import MASK, redact
from etl.settings import Settings
from etl.signing import Signature
from etl.sources import SECRETS
from etl.stages import timed
from etl.tokens import Issued, Tokens, lifetime_seconds
from etl.transport import Received, TooLarge, Transport

__all__ = ["Answer", "BadRequest", "Client", "TooLarge"]

log = logging.getLogger("demeter")
Read = TypeVar("Read")

TOKEN_PATH = "/v3/auth/tokens"  # noqa: S105 -- a path, not a secret
REDIRECTS = {301, 302, 303, 307, 308}
MOST_REDIRECTS = 3
SHORTEST_SECRET = 6  # what is shorter is likely to be a part of other words


class Interrupted(DemeterError):
    """The run was told to stop."""


class Credentials(Protocol):
    """A way to be known to the service."""

    secrets: list[str]

    def headers(self, method: str, url: str, body: bytes = b"") -> Mapping[str, str]:
        """What a request is signed in with."""

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Whether there are others now in place of those that were refused."""

    def advice(self, date: datetime) -> str:
        """What to do when the service, whose clock showed `date`, refuses them for good."""


class Client:
    """Sends the requests of one run; safe to share between threads.

    What no other request can mend either, such as refused credentials or a service that is down,
    ends the run's requests: it costs its attempts once, and one for another request, which may be answered
    where the first never is; then all that follow fail at once.
    """

    def __init__(
        self,
        settings: Settings,
        sleep: Callable[[float], object] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.settings = settings
        self.request_count = self.retry_count = self.received_bytes = 0
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._began = time.monotonic()
        self._pace = pace or Pace(settings.requests_per_second, now=lambda: time.monotonic())
        self._lock = threading.Lock()
        self._transport = Transport(settings, self._spent)
        self._credentials: Credentials = (
            Signature(settings) if settings.ak else Tokens(settings, self._issue_token, self._spent)
        )
        self._heard: Counter[str] = Counter()
        self._doubted: dict[str, int] = {}
        self._over: DemeterError | None = None
        self._welcome = False
        self._trial = threading.Lock()

    def get(self, path: str, params: Mapping[str, str | int], read: Callable[[Answer], Read]) -> Read:
        """What `read` makes of the answer to a GET; sent again while answers are broken or busy.

        Raises BadRequest, TooLarge, UsageError, Refused or ServiceUnavailable.
        """
        query = urlencode(sorted(params.items()), quote_via=quote, safe="~")
        return self._settled(f"{self.settings.endpoint.rstrip('/')}{path}?{query}", None, read)

    def post(self, path: str, body: bytes, read: Callable[[Answer], Read]) -> Read:
        """The same of the answer to a POST of JSON, which has to ask alone, for it may be sent again."""
        return self._settled(f"{self.settings.endpoint.rstrip('/')}{path}", body, read)

    def _settled(self, url: str, body: bytes | None, read: Callable[[Answer], Read]) -> Read:
        # One at a time until one was let in: a service that is down costs the attempts of one request, and
        # some wrong signatures side by side would lock the key.
        if not self._welcome:
            with self._trial:
                if not self._welcome:
                    return self._persist(lambda: self._read_once(url, body, read))
        return self._persist(lambda: self._read_once(url, body, read))

    def stop(self, why: str) -> None:
        """Let no request be sent any more, nor waited for: those that were asked for are Interrupted."""
        self._over = Interrupted(
            f"{why} came before the listing ended: what came is kept, and `demeter sweep --resume` goes on"
        )
        self._stopped.set()

    def _read_once(self, url: str, body: bytes | None, read: Callable[[Answer], Read]) -> Read:
        answer = self._followed(url, body)
        raise_for(answer, url)
        try:
            return read(answer)
        except BadPage as bad:
            raise Again(str(bad)) from None

    def _followed(self, url: str, body: bytes | None) -> Answer:
        """The answer to a request where its redirects lead, all of them on the same server."""
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._signed_in(url, body)
            if answer.status not in REDIRECTS or not answer.headers.get("Location"):
                return answer
            target = _target(url, answer.headers["Location"])
            if not target:
                raise UsageError(
                    f"the endpoint redirects to another server ({answer.status}): "
                    "set DEMETER_ENDPOINT to where it leads, if that is right"
                )
            url = target
        raise UsageError("the endpoint redirects again and again: check DEMETER_ENDPOINT")

    def _signed_in(self, url: str, body: bytes | None) -> Answer:
        """The answer to a request with credentials; Refused where neither these nor new ones are good."""
        self._check_over()
        try:
            answer = self._asked(url, body)
        except TooLarge:
            raise
        except DemeterError as error:
            self._end(error)
        if refuses(answer):
            said, advice = said_in(answer), self._credentials.advice(answer.date)
            self._end(
                CredentialsRefused(f"the service refused the credentials ({answer.status}){said}: {advice}")
            )
        self._welcome = self._welcome or answer.status < 300
        return answer

    def _check_over(self) -> None:
        """Raise what ended the run's requests, if anything did."""
        if self._over:
            raise type(self._over)(str(self._over))

    def _asked(self, url: str, body: bytes | None) -> Answer:
        """The answer to a request, with new credentials once if they are refused."""
        headers = self._headers(url, body)
        answer = self._redacted(self._sent(url, body, headers))
        if refuses(answer) and self._credentials.renew(headers):
            answer = self._redacted(self._sent(url, body, self._headers(url, body)))
        return answer

    def _headers(self, url: str, body: bytes | None) -> Mapping[str, str]:
        return self._credentials.headers("GET" if body is None else "POST", url, body or b"")

    def _sent(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> Received:
        if body is None:
            return self._receive("GET", url, headers)
        return self._receive("POST", url, {**headers, "Content-Type": "application/json"}, data=body)

    def _end(self, error: DemeterError) -> NoReturn:
        """Raise what holds for every other request of the run as well."""
        self._over = self._over or error
        raise error from None

    def _persist(self, once: Callable[[], Read]) -> Read:
        """Call again while it fails in a way that may pass, within the attempts and the total time."""
        heard = self._heard.copy()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Again),
            wait=_wait_seconds,
            stop=self._is_enough,
            sleep=self._pause,
            before_sleep=self._note_retry,
            reraise=True,
        )
        try:
            return retrying(once)
        except Again as last:
            self._check_over()
            error = ServiceUnavailable(
                f"the service gave out: {last}; run again later, or look at its status"
            )
            # Where others had answers meanwhile, it is this request alone that it does not like.
            if last.down and heard[last.down] == self._heard[last.down]:
                self._doubt(last.down, error)
            raise error from None

    def _doubt(self, host: str, error: DemeterError) -> None:
        """Note that a host gave out; it is out of service if nothing came since the last time it did."""
        if self._is_doubted(host):
            self._end(error)
        self._doubted[host] = self._heard[host]

    def _is_doubted(self, host: str) -> bool:
        """Whether nothing came from a host since it gave out."""
        return self._doubted.get(host) == self._heard[host]

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        """Whether the attempts are used up, or the next wait would overrun the run's time."""
        last = state.outcome.exception() if state.outcome else None
        return (
            self._over is not None
            or state.attempt_number >= self.settings.attempts
            or (isinstance(last, Again) and self._is_doubted(last.down))
            or self._spent() + state.upcoming_sleep > self.settings.total_seconds
        )

    def _pause(self, seconds: float) -> None:
        self._sleep(seconds)

    def _spent(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        with self._lock:
            self.retry_count += 1
        reason = state.outcome.exception() if state.outcome else ""
        log.warning("%s; trying again in %.1f s", reason, state.upcoming_sleep)

    def _issue_token(self) -> Issued:
        """A new token for the user of the settings."""
        url = self.settings.iam_endpoint.rstrip("/") + TOKEN_PATH
        received = self._receive("POST", url, {}, json=token_request(self.settings))
        answer, token = self._redacted(received), received.headers.get("X-Subject-Token", "")
        if answer.status in RETRIED or answer.status >= 500:
            raise_for(answer, url)
        if answer.status != 201 or not token:
            refusal = CredentialsRefused if answer.status == 401 else Refused
            raise refusal(
                f"IAM gave no token ({answer.status}){said_in(answer)}: check DEMETER_IAM_ENDPOINT, "
                "DEMETER_USER, DEMETER_PASSWORD and DEMETER_DOMAIN"
            )
        return Issued(token, lifetime_seconds(received.body, received.date))

    def _receive(self, method: str, url: str, headers: Mapping[str, str], **parts: Any) -> Received:
        """The answer to one request as it came, within the rate allowed."""
        if seconds := self._pace.wait_seconds(url):
            self._pause(seconds)
        with self._lock:
            self.request_count += 1
        try:
            with timed("ask"):
                received = self._transport.send(method, url, headers, **parts)
        except Unreached as error:
            raise Again(str(error), down=error.host) from None
        with self._lock:
            self.received_bytes += len(received.body)
            self._heard[urlsplit(url).hostname or ""] += received.status < 500
        return received

    def _redacted(self, received: Received) -> Answer:
        """An answer without any credentials, its own or those that it was asked for with."""
        with timed("redact"):
            body = self._without_own_secrets(redact(received.body))
        return Answer(received.status, body, received.headers, received.date, len(received.body))

    def _without_own_secrets(self, body: bytes) -> bytes:
        """The body without the credentials that it was asked for with, which errors may echo."""
        named = [getattr(self.settings, name) for name in SECRETS]
        for secret in {*named, *self._credentials.secrets, *self._transport.secrets}:
            if len(secret) >= SHORTEST_SECRET:
                in_json = (json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
                for form in (secret, *in_json):
                    body = body.replace(form.encode(), MASK)
        return body


def _server(url: str) -> tuple[str, str]:
    """The scheme, host and port of a URL, with user and password if they are given."""
    parts = urlsplit(url)
    ports = {"http": ":80", "https": ":443"}
    return parts.scheme, parts.netloc.lower().removesuffix(ports.get(parts.scheme, ""))


def _target(url: str, location: str) -> str:
    """Where a redirect of a URL leads, if that is on the same server; nothing where it is not."""
    try:
        target = urljoin(url, location)
        return target if _server(target) == _server(url) else ""
    except ValueError:
        return ""


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    """What the service asks for and a little more, or twice as long each time, with jitter."""
    error = state.outcome.exception() if state.outcome else None
    backoff = min(30.0, 0.5 * 2.0**state.attempt_number)
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 -- spreads load, guards nothing
    if isinstance(error, Again) and error.wait_seconds is not None:
        return error.wait_seconds + jitter
    return backoff * jitter
