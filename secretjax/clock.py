"""Where the time of a simulation goes: for the log of a run, never for its result.

Seconds by name, in this process. What is spent within something else counts for itself only; each
thread is within its own.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_spent: dict[str, float] = defaultdict(float)


class _Within(threading.local):
    def __init__(self):
        self.frames: list[list] = []  # name and seconds of what was within


_open = _Within()


@contextmanager
def spent(name: str) -> Iterator[list]:
    """Times what is done inside. Yields a list whose first item, the name, may still be changed."""
    frame, begin = [name, 0.0], time.perf_counter()
    _open.frames.append(frame)
    try:
        yield frame
    finally:
        took = time.perf_counter() - begin
        _open.frames.pop()
        _spent[frame[0]] += took - frame[1]
        if _open.frames:
            _open.frames[-1][1] += took


def add(name: str, seconds: float) -> None:
    """Somebody else has timed it, within what is timed here now."""
    if any(frame[0] == name for frame in _open.frames):
        return
    _spent[name] += seconds
    if _open.frames:
        _open.frames[-1][1] += seconds


def taken() -> dict[str, float]:
    """Seconds by name since the last call."""
    found = dict(_spent)
    _spent.clear()
    return found
