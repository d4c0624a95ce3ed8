"""What `demeter explore` becomes: marimo's server, which tells its address as soon as it listens.

Started as `python -P -m etl.serving HOST PORT WORDS...`, with the token on standard input.
"""

from __future__ import annotations

import logging
import os
import runpy
import socket
import sys
import time
from threading import Thread

BETWEEN_TRIES_SECONDS = 0.1
# What the server leaves in the log where Ctrl-C ends it.
ENDED = "CancelledError"


def main() -> None:
    """Serve with marimo, by the words of its command, until a signal ends it."""
    host, port, *words = sys.argv[1:]
    token = sys.stdin.read()
    say_to_stdin(token)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    logging.getLogger("uvicorn.error").addFilter(lambda record: ENDED not in record.getMessage())
    Thread(target=_tell, args=(host, int(port), token), daemon=True).start()
    sys.argv = ["marimo", *words]
    runpy.run_module("marimo", run_name="__main__", alter_sys=True)


def say_to_stdin(text: str) -> None:
    """Let this process read a text, and then the end, from its standard input: others see its arguments."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)


def _tell(host: str, port: int, token: str) -> None:
    """Print the address once it answers."""
    while not _listens(host, port):
        time.sleep(BETWEEN_TRIES_SECONDS)
    shown = f"[{host}]" if ":" in host else host
    # marimo itself is told to be quiet, which holds for what is printed the usual way.
    os.write(1, f"http://{shown}:{port}/{f'?access_token={token}' if token else ''}\n".encode())


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
