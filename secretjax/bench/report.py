"""All sides in turns, and what came out: medians in a JSON file with the machine named.

A rate is events (blocks handed out or given back) by the seconds in which all states were taken to
their ends; putting the zones back is not part of it. Where others use the machine too, the rate a
second of CPU time says more: what does not get a CPU does not count. Sides take turns within a
round, so that a busy moment of the machine meets all of them; the first turn of each is not
counted.
"""

import ctypes
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from secretjax import __version__
from secretjax.bench import sides, streams
from secretjax.errors import UserError
from secretjax.files import replacing

EVENTS = 4096  # of each state
BLOCK = 64  # states that are in memory at a time, fewer where they are large
MOST = 1 << 29  # bytes that the states of one side may take
LEAST = 0.3  # seconds that a turn takes: short ones say more about the scheduler
PAGES, STATES = 1 << 17, 64
MANY = 2048  # states that take so long that once is enough
STATE_COUNTS = (256, 1024, 4096, 16_384)
PAGE_COUNTS = tuple(1 << k for k in range(17, 23))
TRIAD = 1 << 24  # doubles in each of its three arrays
LIBRARIES = ("jax", "jaxlib", "llvmlite", "numba", "numpy")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(x.split(":")[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = {"secretjax": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    load = round(os.getloadavg()[1], 1)  # before, of five minutes: others may have been at work
    return {"cpu": model, "cores": cores(), "load": load, "versions": versions}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def asked(start, states: int, events: int = EVENTS) -> np.ndarray:
    """Int32 [states, events, 5]: another stream for each state."""
    return np.stack([streams.requests(start, events, k) for k in range(states)])


def contenders(
    pages: int, states: int, threads: int, kinds: Sequence[type] = sides.SIDES
) -> list[sides.Side]:
    """The sides, each with as many states as fit, up to `states`."""
    start = streams.start(pages)
    state = 16 * pages + 64 * EVENTS
    requests = asked(start, max(min(states, BLOCK, MOST // state), 1))
    return [kind(start, requests, threads) for kind in kinds]


class Rates(NamedTuple):
    """Million events of each round: a second, and a second of a CPU that was given to us."""

    wall: list[float]
    cpu: list[float]


def rounds(given: Sequence[sides.Side], states: int, turns: int) -> dict[str, Rates]:
    """{side: its rates}, `states` being taken in blocks.

    Raises `UserError` where two sides end with different lists.
    """
    found = {side.name: Rates([], []) for side in given}
    for turn in range(turns + 1):
        for side in given:
            count, events = side.asked.shape[:2]
            blocks, spent, used = 0, 0.0, 0.0
            while blocks < (states // count if turn else 1) or spent < LEAST * bool(turn):
                side.reset()
                begin, before = time.perf_counter(), time.process_time()
                side.run()
                spent += time.perf_counter() - begin
                used += time.process_time() - before
                blocks += 1
            if turn:
                done = blocks * count * events / 1e6
                found[side.name].wall.append(done / spent)
                found[side.name].cpu.append(done / max(used, 1e-9))
    check(given)
    return found


def check(given: Iterable[sides.Side]) -> None:
    """`UserError` unless all sides that do the same work have the same lists at the end."""
    digests = {side.name: sides.digest(side) for side in given}
    known = {name: digest for name, digest in digests.items() if digest}
    if len(set(known.values())) > 1:
        raise UserError(f"bench: {', '.join(known)} end with different lists: a fault of one")


def triad(threads: int, turns: int = 3) -> float:
    """GB/s of a[i] = b[i] + 3 c[i] over arrays that no cache holds, counting 24 bytes each."""
    from secretjax.bench import peer

    a, b, c = np.zeros(TRIAD), np.ones(TRIAD), np.full(TRIAD, 2.0)
    call, places = peer.library().triad, [ctypes.c_void_p(x.ctypes.data) for x in (a, b, c)]
    share, rates = TRIAD // threads, []

    def part(k: int) -> None:
        call(*places, ctypes.c_int64(k * share), ctypes.c_int64((k + 1) * share))

    for _ in range(turns + 1):
        begin = time.perf_counter()
        sides.in_threads(threads, part)
        rates.append(24 * share * threads / (time.perf_counter() - begin) / 1e9)
    assert a[0] == a[TRIAD // threads * threads - 1] == 7.0
    return median(rates[1:])


def first_run(number: int) -> tuple[str, float]:
    """In a process of its own, nothing compiled before: a side and the seconds to compile it."""
    start = streams.start(1 << 14)
    requests = asked(start, 2, 256)
    if sides.SIDES[number] is sides.Numba:
        sides.numba_answer()  # imported; it is compiled at its first call
    begin = time.perf_counter()
    side = sides.SIDES[number](start, requests, 1)
    side.reset()
    side.run()
    return side.name, time.perf_counter() - begin


def compile_times() -> dict[str, float]:
    """{side: seconds until a small block had its first answer}; imports are not part of it."""
    found = {}
    for number in range(len(sides.SIDES)):
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.dict(os.environ, JAX_COMPILATION_CACHE_DIR=folder),
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            name, seconds = pool.apply(first_run, (number,))
        found[name] = seconds
    return found


def compare(pages: int, states: int, turns: int, tell: Callable[[str], None] = print) -> None:
    """`secretjax bench`: all sides on all cores, medians and what share of scalar C that is."""
    threads = cores()
    found = rounds(contenders(pages, states, threads), states, turns)
    tell(f"{states} states of {pages} pages, {EVENTS} events each, {threads} threads")
    peer = found[sides.ScalarC.name].wall
    for name, rates in found.items():
        share = median(a / b for a, b in zip(rates.wall, peer, strict=True))
        tell(
            f"{name:<22} {median(rates.wall):6.1f} M events/s, {share:.2f} of scalar C; "
            f"{median(rates.cpu):.1f} a CPU second"
        )


def measure(turns: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Everything that the figures show."""
    threads, rows, told = cores(), [], machine()

    def add(figure: str, pages: int, states: int, used: int, given, turns: int = turns) -> None:
        for side, rates in rounds(given, states, turns).items():
            row = {"figure": figure, "side": side, "pages": pages, "states": states}
            row |= {"threads": used, "rates": [round(rate, 3) for rate in rates.wall]}
            rows.append(row | {"cpu_rates": [round(rate, 3) for rate in rates.cpu]})
            tell(f"{figure}: {states} x {pages}, {used} threads: {side} {median(rates.wall):.1f}")

    compiled = compile_times()
    given = contenders(PAGES, STATES, threads)
    sizes = {side.name: side.state_bytes() for side in given}
    for used in range(1, threads + 1):
        for side in given:
            side.threads = used
        add("cores", PAGES, STATES, used, given)
    for states in STATE_COUNTS:
        add("states", PAGES, states, threads, given, turns if states < MANY else 1)
    for pages in PAGE_COUNTS:
        add("pages", pages, STATES, threads, contenders(pages, STATES, threads))
    return {
        "machine": told,
        "events": EVENTS,
        "rows": rows,
        "compile_seconds": {name: round(s, 2) for name, s in compiled.items()},
        "state_bytes": sizes,
        "triad_gb_s": {str(n): round(triad(n), 2) for n in range(1, threads + 1)},
    }


def report(folder: Path, turns: int) -> None:
    """Measures everything and leaves report.json and its figures in `folder`."""
    from secretjax.bench import figures

    found = measure(turns, lambda line: print(line, file=sys.stderr, flush=True))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name in figures.draw(found, folder):
        print(folder / f"{name}.svg")
