"""One input given to one reader, and what is to be said of how it went."""

import faulthandler
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from secretjax.errors import UserError
from tests.fuzz.readers import READERS, Read

SECONDS = 10  # of one input
MIB = 1024
HUNG = 60  # seconds after which the process ends itself, where no signal gets through
LONGEST = 2500  # characters of a sentence


class Slow(BaseException):
    """No `except Exception` holds it up."""


@dataclass
class Found:
    """What a worker has seen of one reader. bad: (seed, what) of what must not be."""

    reader: str
    inputs: int = 0
    read: int = 0
    slowest: float = 0.0
    mib: float = 0.0
    bad: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        self.inputs += other.inputs
        self.read += other.read
        self.slowest = max(self.slowest, other.slowest)
        self.mib = max(self.mib, other.mib)
        self.bad += other.bad


def peak() -> float:
    """MiB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tried(reader: str, seed: int, keep: Path | None = None) -> tuple[str, bool]:
    """(what must not be, "" if nothing; whether it was read) of one input."""
    rng = random.Random(f"{reader} {seed}")
    np.random.seed(seed % 2**32)
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        read = READERS[reader][1](rng, folder)
        return _judged(read)
    finally:
        if keep:
            shutil.copytree(folder, keep / f"{reader}-{seed}", dirs_exist_ok=True)
        shutil.rmtree(folder)


def _judged(read: Read) -> tuple[str, bool]:
    before = peak()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
        bad, good = "", True
    except UserError as error:
        bad, good = _sentence(error), False
    except Slow:
        bad, good = f"more than {SECONDS} s", False
    except Exception as error:
        bad, good = "".join(traceback.format_exception(error)[-4:]), False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if peak() - before > MIB:
        bad = bad or f"{peak() - before:.0f} MiB more"
    return bad, good


def _sentence(error: UserError) -> str:
    """What is wrong with an error for the user."""
    text, cause = str(error), error.__cause__
    while cause is not None:
        if isinstance(cause, MemoryError):
            return f"out of memory: {text}"
        cause = cause.__cause__
    if not text or "\n" in text or len(text) > LONGEST:
        return f"no sentence: {text[:300]!r} ... of {len(text)} characters"
    return ""


def many(reader: str, first: int, count: int, keep: Path | None = None) -> Found:
    """`count` inputs of a reader from the seed `first` on."""

    def late(*_: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, late)
    found = Found(reader)
    tried(reader, first)  # what is made once, and imported late, is no input's
    for seed in range(first, first + count):
        faulthandler.dump_traceback_later(HUNG, exit=True)
        begin, before = time.perf_counter(), peak()
        bad, good = tried(reader, seed, keep)
        found.inputs += 1
        found.read += good
        found.slowest = max(found.slowest, time.perf_counter() - begin)
        found.mib = max(found.mib, peak() - before)
        if bad:
            found.bad.append((seed, bad))
    faulthandler.cancel_dump_traceback_later()
    return found
