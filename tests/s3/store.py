"""An object store on loopback, in a process of its own: it counts what it is asked, and misbehaves on demand.

It tells its port on standard output, and takes a word a line on standard input: `asked` tells how often
each kind of request came since it was last asked; `ignore` and `honour` say what it makes of the conditions
of a write, `refuse` and `serve` whether it lets anybody in, `break` and `mend` whether it fails at all parts
of an upload but the first, `down` and `up` whether it listens at all.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
REFUSED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
BROKEN = b"<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>"
Environment = dict[str, Any]


class Store:
    """What answers a request, as WSGI has it."""

    def __init__(self) -> None:
        self.answer = DomainDispatcherApplication(create_backend_app)
        self.asked: Counter[str] = Counter()
        self.ignores = self.refuses = self.breaks = False

    def __call__(self, environ: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        self.asked[kind(environ)] += 1
        if self.refuses:
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [REFUSED]
        if self.breaks and "partNumber=" in query(environ) and "partNumber=1&" not in query(environ):
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            start("500 Internal Server Error", [("Content-Type", "application/xml")])
            return [BROKEN]
        if self.ignores and environ["REQUEST_METHOD"] == "PUT":
            for name in CONDITIONS:
                environ.pop(name, None)
        found: Iterable[bytes] = self.answer(environ, start)
        return found


def query(environ: Environment) -> str:
    """The query of a request, each part of which ends with an ampersand."""
    return f"{environ['QUERY_STRING']}&"


def kind(environ: Environment) -> str:
    """What a request is, as a store asks money for it."""
    is_list = environ["REQUEST_METHOD"] == "GET" and "list-type=" in environ["QUERY_STRING"]
    return "LIST" if is_list else str(environ["REQUEST_METHOD"])


def listening(store: Store, port: int = 0) -> BaseWSGIServer:
    """A server that answers from now on."""
    server = make_server("127.0.0.1", port, store, threaded=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def main() -> None:
    """Serve until standard input ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = Store()
    server = listening(store)
    port = server.port
    print(port, flush=True)
    for line in sys.stdin:
        word, told = line.strip(), "done"
        if word == "asked":
            told = json.dumps(store.asked)
            store.asked.clear()
        elif word in ("ignore", "honour"):
            store.ignores = word == "ignore"
        elif word in ("refuse", "serve"):
            store.refuses = word == "refuse"
        elif word in ("break", "mend"):
            store.breaks = word == "break"
        elif word == "down":
            server.shutdown()
            server.server_close()
        elif word == "up":
            server = listening(store, port)
        print(told, flush=True)


if __name__ == "__main__":
    main()
