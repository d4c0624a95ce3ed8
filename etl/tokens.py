"""The token of a run: kept in memory alone, and renewed before it ends or when it is refused."""

from __future__ import annotations

import logging
import math
import os
import select
import shlex
import signal
import subprocess  # nosec B404
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from etl.answer import Again
from etl.auth import can_ask_iam, check_token
from etl.errors import DemeterError, UsageError
from etl.settings import Settings

log = logging.getLogger("demeter")

TOKEN_HEADER = "X-Auth-Token"  # noqa: S105 -- a header's name
MARGIN_SECONDS = 300.0  # A token this close to its end is renewed, so that no request is under way then.
TRIES_EARLY = 5  # So often at most is a token asked for before the old one ends.
MOST_BYTES = 65_536  # A token has a few thousand.


@dataclass(frozen=True)
class Issued:
    """A new token, and how many seconds it is good for as far as its issuer said."""

    text: str
    lifetime_seconds: float = math.inf


class Tokens:
    """Signs requests in with a token; safe to share between threads.

    `ask_iam` gives a new token for the user of the settings, `now` a time in seconds.
    """

    def __init__(self, settings: Settings, ask_iam: Callable[[], Issued], now: Callable[[], float]) -> None:
        self.secrets = [settings.token]
        self._token, self._ends, self._renew_at = settings.token, math.inf, math.inf
        self._pause_seconds = 0.0
        self._now = now
        self._lock = threading.Lock()
        self._issue: Callable[[], Issued] | None = None
        if settings.token_command:
            self._issue = lambda: Issued(output_of(settings.token_command, settings.timeout_seconds))
        elif can_ask_iam(settings):
            self._issue = ask_iam

    def headers(self, method: str, url: str, body: bytes = b"") -> Mapping[str, str]:
        """What a request is signed in with."""
        if not self._token:
            self._replace("")
        elif self._now() >= self._renew_at:
            self._renew_early()
        return {TOKEN_HEADER: self._token}

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Get a new token in place of a refused one; False where there is none to get."""
        return self._replace(refused[TOKEN_HEADER])

    def advice(self, date: datetime) -> str:
        """What to do when the service refuses the token for good."""
        return "get a new token, or check the user"

    def _replace(self, token: str) -> bool:
        """Replace a token, once however many threads ask for it."""
        if self._issue is None:
            return False
        with self._lock:
            if self._token == token:
                self._take(self._issue())
        return True

    def _renew_early(self) -> None:
        """Replace the token before it ends; while that is tried, or fails, the old one is used."""
        if self._issue is None or not self._lock.acquire(blocking=self._now() >= self._ends):
            return
        try:
            if self._now() >= self._renew_at:
                self._take(self._issue())
        except (Again, DemeterError) as error:
            left = self._ends - self._now()
            if left <= 0:
                raise
            self._renew_at = min(self._ends, self._now() + self._pause_seconds)
            log.warning("the token could not be renewed (%s): it is good for another %.0f s", error, left)
        finally:
            self._lock.release()

    def _take(self, issued: Issued) -> None:
        self.secrets.append(issued.text)
        margin = min(MARGIN_SECONDS, issued.lifetime_seconds / 10)
        self._ends = self._now() + issued.lifetime_seconds
        self._renew_at, self._pause_seconds = self._ends - margin, margin / TRIES_EARLY
        self._token = issued.text


def lifetime_seconds(body: bytes, date: datetime) -> float:
    """How long a token is good for, by IAM's answer to the request for it and the Date of that.

    Both are by IAM's clock, so that it does not matter what this machine's shows.
    """
    try:
        ends_at: Any = orjson.loads(body)["token"]["expires_at"]
        ends = datetime.fromisoformat(ends_at)
    except (ValueError, KeyError, TypeError):
        return math.inf
    ends = ends if ends.tzinfo else ends.replace(tzinfo=UTC)
    return max(0.0, (ends - date).total_seconds())


def output_of(command: str, timeout_seconds: float) -> str:
    """The token that a command prints; UsageError quotes nothing of it, for it may hold secrets."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"token_command cannot be read: {error}; mend its quotes") from None
    if not words:
        raise UsageError("token_command is empty: name the program that prints a token")
    try:
        text, status = _run(words, timeout_seconds)
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"token_command did not end within {timeout_seconds:g} s (timeout_seconds): run it by hand"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it has characters that no command has"
        raise UsageError(
            f"token_command cannot be run: {reason}; name the program by its whole path"
        ) from None
    if status:
        raise UsageError(f"token_command ended with status {status}: run it by hand to see why")
    token = text.decode(errors="replace").strip()
    if not token or len(text) > MOST_BYTES:
        raise UsageError("token_command printed no token: let its standard output be the token alone")
    check_token(token)
    return token


def _run(words: list[str], timeout_seconds: float) -> tuple[bytes, int]:
    """The first bytes that a program prints, and its exit status; TimeoutExpired when it is late."""
    ends = time.monotonic() + timeout_seconds
    # The user's own command, and no shell.
    with subprocess.Popen(  # noqa: S603  # nosec B603
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            text = _first_bytes(process, ends)
            if len(text) > MOST_BYTES:
                return text, 0
            return text, process.wait(max(0.1, ends - time.monotonic()))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # And what it began.


def _first_bytes(process: subprocess.Popen[bytes], ends: float) -> bytes:
    """What a program prints until it closes its output, or until that is more than a token."""
    text, pipe = b"", process.stdout.fileno() if process.stdout else -1
    ready = select.poll()
    ready.register(pipe)
    while len(text) <= MOST_BYTES:
        left = ends - time.monotonic()
        if left <= 0:
            raise subprocess.TimeoutExpired(process.args, left)
        if ready.poll(left * 1000):
            piece = os.read(pipe, MOST_BYTES)
            if not piece:
                break
            text += piece
    return text
