"""What an error of the network means, in a few words without a URL, and whether it may pass."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
import urllib3

from etl.errors import DemeterError, UsageError

WRONG_URL = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    urllib3.exceptions.LocationParseError,
)
# Numbers of OpenSSL's X509_V_ERR_*.
NOT_YET, OVER = 9, 10
WRONG_NAMES = (62, 64)


class Unreached(Exception):
    """No whole answer came from a host, in a way that may pass."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"{host} did not answer: {reason}")
        self.host = host


def explained(error: Exception, url: str) -> DemeterError | Unreached:
    """The error to raise for one of the network: UsageError where trying again cannot help."""
    host = urlsplit(url).hostname or ""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UsageError(_certificate(cause, host))
    if any(isinstance(cause, ssl.SSLEOFError) for cause in causes):
        return Unreached(host, "the connection broke off")
    if any(isinstance(cause, (ssl.SSLError, requests.exceptions.SSLError)) for cause in causes):
        return _tls(" ".join(map(str, causes)), host)
    if "407 " in str(error):
        return UsageError("the proxy wants a user and password (407): put them in the URL of DEMETER_PROXY")
    if isinstance(error, WRONG_URL):
        return UsageError(f"the URL of {host} cannot be used: check the endpoint, iam_endpoint and proxy")
    if "CA certificate bundle" in str(error):
        return UsageError("the file of certificates is not there: check ca_bundle and REQUESTS_CA_BUNDLE")
    return Unreached(host, _plainly(causes))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from: libraries pack one into the other in several ways."""
    pending, seen = [error], set()
    while pending:
        cause = pending.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inside = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        pending += [each for each in inside if isinstance(each, BaseException)]


def _certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    """Why a certificate is not trusted, and what to do."""
    shown = f"{datetime.now(UTC):%Y-%m-%d %H:%M}Z"
    if error.verify_code == OVER:
        return (
            f"the certificate of {host} has expired, if this machine's clock is right: it shows {shown}; "
            "check that, or have it renewed"
        )
    if error.verify_code == NOT_YET:
        return f"the certificate of {host} is not valid yet: set this machine's clock, which shows {shown}"
    if error.verify_code in WRONG_NAMES:
        return f"the certificate of {host} is for another host: check the endpoint"
    return (
        f"the certificate of {host} is of no authority that is trusted here ({error.verify_message}): "
        "if it is your own, set ca_bundle to the file with its certificate"
    )


def _tls(said: str, host: str) -> DemeterError | Unreached:
    """A TLS connection that broke off may pass; one that cannot be made does not."""
    if "EOF" in said:
        return Unreached(host, "the connection broke off")
    return UsageError(f"{host} cannot be used over TLS: check the scheme and port of the endpoint, and proxy")


def _plainly(causes: list[BaseException]) -> str:
    """What went wrong, by the first of these kinds that is among the causes."""
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (requests.exceptions.ProxyError, "the proxy could not be used: check proxy and HTTPS_PROXY"),
        (urllib3.exceptions.ProxyError, "the proxy could not be used: check proxy and HTTPS_PROXY"),
        (socket.gaierror, "its name is not known here: check the endpoint and DNS"),
        (urllib3.exceptions.NameResolutionError, "its name is not known here: check the endpoint and DNS"),
        (ConnectionRefusedError, "the connection was refused"),
        (requests.exceptions.ConnectTimeout, "it could not be reached in time"),
        (urllib3.exceptions.ConnectTimeoutError, "it could not be reached in time"),
        (TimeoutError, "it took too long"),
        (requests.exceptions.Timeout, "it took too long"),
        (urllib3.exceptions.TimeoutError, "it took too long"),
        (urllib3.exceptions.IncompleteRead, "its answer broke off"),
        (urllib3.exceptions.ProtocolError, "its answer broke off"),
    )
    for kind, said in kinds:
        if any(isinstance(cause, kind) for cause in causes):
            return said
    return "the connection failed"
