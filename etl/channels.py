"""The ways to tell somebody: a webhook and mail. The URL of a webhook is a secret, and no error quotes it."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from urllib.parse import urlsplit

import orjson
import requests
import urllib3

from etl import __version__
from etl.errors import ServiceUnavailable, UsageError
from etl.failures import explained
from etl.message import Message
from etl.settings import Settings, is_loopback, require
from etl.transport import routes

TRY = "and try it with `demeter notify --test`"
MOST_SECONDS = 10.0  # for an answer: a run does not wait long for whoever is told of it
ADDRESS = re.compile(r"[!-~]+@[!-~]+")
SENT = range(200, 300)
REASONS: dict[type[Exception], str] = {
    smtplib.SMTPNotSupportedError: "the server does not offer what mail_security or mail_user want",
    smtplib.SMTPServerDisconnected: "the server closed the connection",
    smtplib.SMTPRecipientsRefused: "the server takes no mail for mail_to",
    TimeoutError: "the server did not answer in time",
}


class NotTold(ServiceUnavailable):
    """Somebody could not be told; it says who, and what to do."""


@dataclass(frozen=True)
class Channel:
    """A way to tell somebody; it raises NotTold."""

    name: str
    send: Callable[[Message], None]


def channels(settings: Settings) -> list[Channel]:
    """The channels that are set; UsageError where what is set of one cannot be used."""
    found = []
    if settings.webhook_url:
        _check_webhook(settings)
        found.append(Channel("webhook", lambda message: _post(settings, message)))
    if settings.mail_server or settings.mail_to:
        _check_mail(settings)
        found.append(Channel("mail", lambda message: _mail(settings, message)))
    return found


def _check_webhook(settings: Settings) -> None:
    """Raise UsageError, which quotes nothing, unless the webhook has a URL that keeps it secret."""
    try:
        parts = urlsplit(settings.webhook_url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise UsageError("webhook_url is not a URL: copy it again, it begins with https://")
    if parts.scheme == "http" and not (settings.allow_http or is_loopback(parts.hostname or "")):
        raise UsageError("webhook_url would be sent unencrypted: use https, or set allow_http = true")


def _check_mail(settings: Settings) -> None:
    """Raise UsageError unless mail can be sent to somebody, by a server that keeps it secret."""
    require(settings, "mail_server", "mail_from", "mail_to")
    for address in (settings.mail_from, *recipients(settings)):
        if not ADDRESS.fullmatch(address):
            raise UsageError(
                f"{address!r} is no mail address: mend mail_from and mail_to, with commas between"
            )
    if settings.mail_user:
        require(settings, "mail_password")
    clear = settings.mail_security == "none"
    if clear and not (settings.allow_http or is_loopback(settings.mail_server)):
        raise UsageError(
            "mail_security is none, and mail would be sent unencrypted: use starttls or tls, or set "
            "allow_http = true"
        )


def recipients(settings: Settings) -> list[str]:
    """The addresses that mail goes to."""
    return [each.strip() for each in settings.mail_to.split(",") if each.strip()]


def _post(settings: Settings, message: Message) -> None:
    """Post the message as JSON; redirects are not followed, for the URL is for one server alone."""
    url = settings.webhook_url
    headers = {"Content-Type": "application/json", "User-Agent": f"demeter/{__version__}"}
    try:
        with requests.Session() as session:
            session.trust_env = False
            with session.post(
                url,
                data=orjson.dumps(message.payload),
                headers=headers,
                timeout=MOST_SECONDS,
                allow_redirects=False,
                stream=True,
                **routes(settings, url),
            ) as response:
                status = response.status_code
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        raise NotTold(
            f"the webhook was not told: {explained(error, url)}; check webhook_url, {TRY}"
        ) from None
    if status not in SENT:
        raise NotTold(f"the webhook was not told: it answered {status}; check webhook_url, {TRY}")


def _mail(settings: Settings, message: Message) -> None:
    """Send the message by the mail server, over TLS unless that is set otherwise."""
    try:
        with _server(settings) as server:
            if settings.mail_user:
                server.login(settings.mail_user, settings.mail_password)
            server.send_message(_letter(settings, message))
    except smtplib.SMTPResponseException as error:
        raise NotTold(
            f"mail was not sent: the server answered {error.smtp_code}; check mail_*, {TRY}"
        ) from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        reason = REASONS.get(type(error)) or getattr(error, "strerror", None) or type(error).__name__
        raise NotTold(f"mail was not sent: {reason}; check mail_*, {TRY}") from None


def _server(settings: Settings) -> smtplib.SMTP:
    """A connection to the mail server, as it is secured by the settings."""
    host, port = settings.mail_server, settings.mail_port
    context = ssl.create_default_context()
    if settings.ca_bundle:
        context.load_verify_locations(settings.ca_bundle)
    if settings.mail_security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=MOST_SECONDS, context=context)
    server = smtplib.SMTP(host, port, timeout=MOST_SECONDS)
    if settings.mail_security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server


def _letter(settings: Settings, message: Message) -> EmailMessage:
    """The mail; headers refuse what could begin another one."""
    letter = EmailMessage(policy=SMTP)
    letter["Subject"] = message.subject
    letter["From"] = settings.mail_from
    letter["To"] = ", ".join(recipients(settings))
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain=settings.mail_from.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.text)
    return letter
