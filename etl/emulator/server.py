"""HTTP/1.1 around a function that answers requests: threads, keep-alive, and broken deliveries."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs, urlsplit

from etl.emulator.answers import Answer
from etl.emulator.service import Received

Respond = Callable[[Received], Answer]

# Closing with a linger of zero seconds sends a reset.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Server(ThreadingMixIn, TCPServer):
    """A server that answers by `respond`, on a free port when the port is 0."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, host: str, port: int, respond: Respond, compresses: bool) -> None:
        self.respond = respond
        self.compresses = compresses
        self.stopping = threading.Event()
        self.connection_count = 0
        self._open: set[socket.socket] = set()
        super().__init__((host, port), _Connection)

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Serve no more, and close the connections that are kept alive."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            _hang_up(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Keep a connection in the books for as long as it is open."""
        self._open.add(request)
        self.connection_count += 1
        try:
            super().finish_request(request, client_address)
        finally:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a client that went away; whatever else failed is printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        answer = self.server.respond(self._received())
        if answer.wait_seconds:
            self.server.stopping.wait(answer.wait_seconds)
        try:
            self._send(answer)
        except OSError:
            self.close_connection = True

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: requests are kept, not printed."""

    def _received(self) -> Received:
        length = self.headers.get("Content-Length") or ""
        url = urlsplit(self.path)
        given = parse_qs(url.query, keep_blank_values=True)
        return Received(
            method=self.command,
            path=url.path,
            params={name: texts[0] for name, texts in given.items()},
            headers={name.lower(): text for name, text in self.headers.items()},
            body=self.rfile.read(int(length)) if length.isdecimal() else b"",
            query=url.query,
        )

    def _send(self, answer: Answer) -> None:
        body, headers = answer.body, dict(answer.headers)
        if self.server.compresses and "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        headers["Content-Length"] = str(len(body))
        sent = b"" if self.command == "HEAD" else body
        if answer.delivery != "whole":
            sent, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(_head(answer.status, headers) + sent)
        if answer.delivery == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            # The files that http.server made of the socket hold it open as well.
            self.wfile.close()
            self.rfile.close()
            self.connection.close()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    known = status in HTTPStatus._value2member_map_
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if known else 'Error'}"]
    lines += [f"{name}: {text}" for name, text in headers.items() if text]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
