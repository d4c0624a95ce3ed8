"""What a signal asks for: an end in good order at the first, and at once at the second."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heeded(stop: Callable[[str], None]) -> Iterator[None]:
    """Call `stop` with the name of the first signal to end; what runs may then end in good order.

    Once it has, the process ends by that signal after all, as whoever sent it expects. A second one
    ends it where it stands.
    """
    came: list[signal.Signals] = []

    def heed(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        for each in ENDING:
            signal.signal(each, signal.SIG_DFL)
        stop(came[0].name)

    before = {each: signal.signal(each, heed) for each in ENDING}
    try:
        yield
    finally:
        if not came:
            for each, handler in before.items():
                signal.signal(each, handler)
    if came:
        sys.stdout.flush()
        signal.raise_signal(came[0])
