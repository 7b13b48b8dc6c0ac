"""A first line for whoever waits: said after five seconds in which nothing else was."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 5.0  # seconds

Say = Callable[[str], None]


@contextmanager
def waiting(say: Say, text: str) -> Iterator[Say]:
    """Say ``text`` once the block has been silent for a while; what it says by the given function cancels that."""
    timer = threading.Timer(PATIENCE, say, [text])
    timer.daemon = True

    def said(line: str) -> None:
        timer.cancel()
        say(line)

    timer.start()
    try:
        yield said
    finally:
        timer.cancel()
