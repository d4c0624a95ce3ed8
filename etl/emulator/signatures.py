"""Signatures of requests with an access key (AK/SK), as the gateway of the service checks them."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from etl.emulator import answers
from etl.emulator.answers import Answer, Declined
from etl.emulator.clock import Clock, microseconds

ALGORITHM = "SDK-HMAC-SHA256"
AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Access=([^\s,]+), ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{{64}})"
)
MOST_SKEW_US = 15 * 60 * 1_000_000
FAILURES_TO_LOCK = 5
LOCK_US = 5 * 60 * 1_000_000


@dataclass
class AccessKey:
    """A key, temporary if it has a security token, and how often it failed lately."""

    ak: str
    sk: str
    security_token: str = ""
    failures: int = 0
    locked_until_us: int = 0


@dataclass(frozen=True)
class Signed:
    """The parts of a request that a signature is over; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Signatures:
    """The signatures that one access key made, good for 15 minutes either way."""

    def __init__(self, key: AccessKey, clock: Clock) -> None:
        self.key = key
        self._clock = clock
        self._lock = threading.Lock()

    def check(self, request: Signed, project_id: str | None) -> None:
        """Raise Declined unless the request is signed with the key; five failures in a row lock it."""
        with self._lock:
            now_us = self._clock.now_us()
            if now_us < self.key.locked_until_us:
                raise Declined(answers.KEY_LOCKED)
            refusal = self._refusal(request, now_us)
            if refusal is None:
                self.key.failures = 0
            else:
                self._count_failure(now_us)
                raise Declined(refusal)
        if project_id and request.headers.get("x-project-id", project_id) != project_id:
            raise Declined(answers.PROJECT_MISMATCH)

    def _count_failure(self, now_us: int) -> None:
        self.key.failures += 1
        if self.key.failures == FAILURES_TO_LOCK:
            self.key.failures, self.key.locked_until_us = 0, now_us + LOCK_US

    def _refusal(self, request: Signed, now_us: int) -> Answer | None:
        found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if found is None:
            return answers.SIGNATURE_WRONG
        ak, names, signature = found[1], found[2].split(";"), found[3]
        made_us = _instant(request.headers.get("x-sdk-date", ""))
        if ak != self.key.ak or made_us is None or not {"host", "x-sdk-date"} <= set(names):
            return answers.SIGNATURE_WRONG
        if abs(now_us - made_us) > MOST_SKEW_US:
            return answers.SIGNATURE_EXPIRED
        if request.headers.get("x-security-token", "") != self.key.security_token:
            return answers.SIGNATURE_WRONG
        right = hmac.compare_digest(signature, signature_of(request, names, self.key.sk))
        return None if right else answers.SIGNATURE_WRONG


def signature_of(request: Signed, names: list[str], sk: str) -> str:
    """The signature that a request has to carry, in hexadecimal digits."""
    text = "\n".join(
        (
            request.method,
            _canonical_path(request.path),
            _canonical_query(request.query),
            "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in sorted(names)),
            ";".join(sorted(names)),
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{request.headers['x-sdk-date']}\n{digest}"
    return hmac.new(sk.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def _canonical_path(path: str) -> str:
    segments = [quote(unquote(segment), safe="~") for segment in path.split("/")]
    return "/".join(segments) + ("" if path.endswith("/") else "/")


def _canonical_query(query: str) -> str:
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(text, safe='~')}" for name, text in pairs)


def _instant(text: str) -> int | None:
    """Microseconds of an instant as the signature has it, 20261012T000000Z."""
    try:
        return microseconds(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).isoformat())
    except ValueError:
        return None
