"""Whoever is told of something, on loopback: a webhook, and a mail server that speaks enough SMTP."""

from __future__ import annotations

import base64
import http.server
import json
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self


class Serving:
    """A server of the standard library that serves in a thread of its own."""

    _server: socketserver.BaseServer

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])


class Webhook(Serving):
    """A webhook that keeps what it is sent, and answers with a status."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.location = status, ""
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.paths.append(self.path)
                webhook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(webhook.status)
                if webhook.location:
                    self.send_header("Location", webhook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Its URL, which holds a secret."""
        return f"http://127.0.0.1:{self.port}/hooks/Zq9secret?key=Zq9key"

    def told(self) -> list[tuple[str, str]]:
        """The state and key of each finding that it was sent."""
        return [(each["state"], each["key"]) for body in self.bodies for each in body["findings"]]


@dataclass
class Delivered:
    """A mail as it came: who sent it to whom, whether over TLS and signed in as whom, and its bytes."""

    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    is_encrypted: bool = False
    user: str = ""
    data: bytes = b""

    @property
    def letter(self) -> EmailMessage:
        """The mail itself."""
        found = message_from_bytes(self.data, policy=policy.default)
        assert isinstance(found, EmailMessage)
        return found

    @property
    def text(self) -> str:
        """Its text, with the ends of lines that Python has."""
        return str(self.letter.get_content()).replace("\r\n", "\n")


class MailServer(Serving):
    """A mail server that wants its users to sign in with a password, if it is given one."""

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        at_once: bool = False,
        password: str = "",
        refuses: int = 0,
    ) -> None:
        self.delivered: list[Delivered] = []
        self.tls, self.at_once, self.password, self.refuses = tls, at_once, password, refuses
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            def setup(self) -> None:
                if mail.at_once and mail.tls:
                    self.request = mail.tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                Conversation(mail, self).hold()

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True


class Conversation:
    """One connection to a mail server."""

    def __init__(self, mail: MailServer, handler: socketserver.StreamRequestHandler) -> None:
        self.server, self.handler = mail, handler
        self.now = Delivered(is_encrypted=mail.at_once)
        self.verbs = {
            **{"EHLO": self.greet, "STARTTLS": self.encrypt, "AUTH": self.sign_in, "MAIL": self.begin},
            **{"RCPT": self.add, "DATA": self.take},
        }

    def hold(self) -> None:
        """Answer until the other side has done."""
        self.say("220 here")
        while line := self.handler.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if verb.upper() == "QUIT":
                self.say("221 bye")
                return
            self.verbs.get(verb.upper(), lambda rest: self.say("502 not here"))(rest)

    def say(self, text: str) -> None:
        self.handler.wfile.write(f"{text}\r\n".encode())

    def greet(self, rest: str) -> None:
        offers = ["STARTTLS"] if self.server.tls and not self.now.is_encrypted else []
        offers += ["AUTH PLAIN"] if self.server.password else []
        lines = ["here", *offers]
        for number, line in enumerate(lines, start=1):
            self.say(f"250{' ' if number == len(lines) else '-'}{line}")

    def encrypt(self, rest: str) -> None:
        assert self.server.tls
        self.say("220 go on")
        self.handler.request = self.server.tls.wrap_socket(self.handler.request, server_side=True)
        self.handler.rfile = self.handler.request.makefile("rb")
        self.handler.wfile = self.handler.request.makefile("wb", 0)
        self.now.is_encrypted = True

    def sign_in(self, rest: str) -> None:
        _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
        if password != self.server.password:
            self.say("535 not you")
            return
        self.now.user = user
        self.say("235 welcome")

    def begin(self, rest: str) -> None:
        self.now.sender = rest.partition("<")[2].partition(">")[0]
        self.say(f"{self.server.refuses} no" if self.server.refuses else "250 ok")

    def add(self, rest: str) -> None:
        self.now.recipients.append(rest.partition("<")[2].partition(">")[0])
        self.say("250 ok")

    def take(self, rest: str) -> None:
        self.say("354 go on")
        lines = iter(self.handler.rfile.readline, b".\r\n")
        self.now.data = b"".join(line[1:] if line.startswith(b"..") else line for line in lines)
        self.server.delivered.append(self.now)
        self.say("250 ok")
