"""One request and the bytes of its answer: TLS, proxies, and limits of time and size."""

from __future__ import annotations

import os
import ssl
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from etl import __version__
from etl.errors import ServiceUnavailable, UsageError
from etl.failures import Unreached, explained
from etl.settings import Settings, is_loopback

CHUNK_BYTES = 1 << 18
MOST_SECONDS_TO_CONNECT = 10.0


class TooLarge(UsageError):
    """An answer is larger than `response_bytes`."""


@dataclass(frozen=True)
class Received:
    """An answer as it came, unpacked; `date` is the service's clock, or ours where it told none."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    date: datetime


def check_transport(settings: Settings) -> None:
    """Raise UsageError unless the proxy is one, and the certificates can be read."""
    if settings.proxy and not _is_proxy(settings.proxy):
        raise UsageError("proxy is not the URL of one: it looks like http://proxy.example.com:3128")
    bundle = Path(settings.ca_bundle)
    if settings.ca_bundle and not bundle.is_dir():
        try:
            ssl.create_default_context(cafile=bundle)
        except OSError as error:
            reason = "no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(
                f"ca_bundle {settings.ca_bundle} cannot be used: {reason}; name a file of PEM certificates"
            ) from None


class _Session(requests.Session):
    """A session that leaves redirects alone: requests reads their whole body, to look where they lead."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: whoever sent the request decides."""


class Transport:
    """Sends requests; safe to share between threads. `spent` tells the seconds of the run so far."""

    def __init__(self, settings: Settings, spent: Callable[[], float]) -> None:
        self.settings = settings
        self._spent = spent
        self._local = threading.local()

    @property
    def secrets(self) -> list[str]:
        """The passwords of proxies."""
        urls = [self.settings.proxy] if self.settings.proxy else urllib.request.getproxies().values()
        # By hand, for what is no URL may hold one as well.
        given = [url.rpartition("@")[0].rpartition(":")[2] for url in urls]
        return [*given, *map(unquote, given)]

    def send(self, method: str, url: str, headers: Mapping[str, str], **parts: Any) -> Received:
        """The answer to one request, not redirected; raises Unreached, or DemeterError for good."""
        try:
            with self._session().request(
                method,
                url,
                headers=headers,
                timeout=self._timeouts(),
                allow_redirects=False,
                stream=True,
                **routes(self.settings, url),
                **parts,
            ) as response:
                body = self._body(response)
                return Received(response.status_code, body, response.headers, _date(response))
        except (requests.exceptions.InvalidHeader, UnicodeError):
            raise UsageError(
                "the credentials or a URL have characters that cannot be sent: copy them again"
            ) from None
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            raise explained(error, url) from None

    def _body(self, response: requests.Response) -> bytes:
        """The body; TooLarge past the limit, and given up when the run's time is over."""
        pieces, size, limits = [], 0, self.settings
        for piece in _pieces(response):
            size += len(piece)
            if size > limits.response_bytes:
                raise TooLarge(
                    f"an answer is over {limits.response_bytes} bytes: "
                    "ask for less at a time with --limit, or raise response_bytes"
                )
            if self._spent() > limits.total_seconds:
                over = f"the run's {limits.total_seconds:g} s (total_seconds) are over"
                raise Unreached(urlsplit(response.url).hostname or "", over)
            pieces.append(piece)
        return b"".join(pieces)

    def _timeouts(self) -> tuple[float, float]:
        """Seconds to wait for a connection, and for the next bytes."""
        longest = self.settings.timeout_seconds
        return min(longest, MOST_SECONDS_TO_CONNECT), longest

    def _session(self) -> _Session:
        """This thread's session, which keeps its connection."""
        if not hasattr(self._local, "session"):
            session = _Session()
            # Else a .netrc would sign requests in besides, and the environment outdo the settings.
            session.trust_env = False
            session.headers["User-Agent"] = f"demeter/{__version__}"
            session.headers["Accept-Encoding"] = "gzip"
            self._local.session = session
        kept: _Session = self._local.session
        return kept


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def routes(settings: Settings, url: str) -> dict[str, Any]:
    """The proxies and certificates for a URL, as `requests` takes them."""
    return {
        "proxies": _proxies(url, settings.proxy),
        "verify": settings.ca_bundle or _bundle_of_environment() or True,
    }


def _proxies(url: str, proxy: str) -> dict[str, str]:
    """The proxies for a URL: that of the settings, else those of the environment; none to loopback."""
    if is_loopback(urlsplit(url).hostname or ""):
        return {}
    if proxy:
        return {"http": proxy, "https": proxy}
    return dict(requests.utils.get_environ_proxies(url))


def _bundle_of_environment() -> str:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or ""


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body unpacked, in pieces of bounded size however small it was packed."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    sent = response.raw.stream(CHUNK_BYTES, decode_content=False)
    if encoding in ("", "identity"):
        return iter(sent)
    if encoding == "gzip":
        return _unpacked(sent, urlsplit(response.url).hostname or "")
    raise ServiceUnavailable(
        "an answer is packed in a way that was not asked for: look at what stands before the service"
    )


def _unpacked(sent: Iterable[bytes], host: str) -> Iterator[bytes]:
    """What gzip packed, never more than a chunk at a time; Unreached where it is broken."""
    member = zlib.decompressobj(wbits=31)
    begun = False
    for packed in sent:
        begun = True
        piece = b""
        while packed or len(piece) == CHUNK_BYTES:
            if member.eof:
                member = zlib.decompressobj(wbits=31)
            try:
                piece = member.decompress(packed, CHUNK_BYTES)
            except zlib.error:
                raise Unreached(host, "its answer cannot be unpacked") from None
            packed = member.unused_data if member.eof else member.unconsumed_tail
            yield piece
    if begun and not member.eof:
        raise Unreached(host, "its answer broke off")


def _date(response: requests.Response) -> datetime:
    """The service's clock: the Date header, or the local clock where there is none."""
    return instant(response.headers.get("Date", "")) or datetime.now(UTC)


def instant(text: str) -> datetime | None:
    """The instant of an HTTP date in whichever of its forms, all of them UTC; None where it is none."""
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
