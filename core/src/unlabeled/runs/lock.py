"""One writer a run folder: a lock that dies with its process, and the name of who holds it.

A record lock of POSIX, which forked readers do not inherit and network file systems know of; where there is none
(Windows), folders are not locked.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from unlabeled.errors import UsageError

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an existing run folder; ``UsageError`` where another process does."""
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    path = folder / LOCK
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            who = _holder(path)
            raise UsageError(f"{folder} is being written by {who}: wait for it, or give another --out") from None
        except OSError:  # a file system without locks
            pass
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%F %T")}))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def holder(folder: Path) -> str:
    """Who else writes into the run folder now; empty where no one does."""
    path = folder / LOCK
    if not path.is_file():
        return ""
    try:
        with locked(folder):  # it was left by a killed writer
            return ""
    except UsageError:
        return _holder(path)


def _holder(path: Path) -> str:
    """``process 123 on host, since ...``, as it wrote itself."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return f"process {found['pid']} on {found['host']}, since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
