"""States that go on by native code, each to its own stop."""

import ctypes
import os
import platform
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np

import secretjax
from secretjax.flow import GROUP, LIMIT, Seen, Task, late, placed
from secretjax.mm.layout import HEADS
from secretjax.mm.plan import nothing_written
from secretjax.mm.state import Limits, Registers, Writes, Zone
from secretjax.native import build, lane, program, zone

SOURCES = ("mm", "native", "ledger.py")  # of the package, from which the step's code is made


LINE = 64  # bytes
WORDS = 2 * LINE // 4  # of two lines: a processor fetches the second with the first
ONE = threading.Lock()  # of the threads that ask for the step, who makes it
SHORT = 1024  # words; longer arrays of lanes touch: XLA reads them in place, threads rarely meet


def usable() -> bool:
    """Whether this is a machine of the kind that the code was tried on."""
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def threads() -> int:
    """As many as XLA would have, see NPROC in `study.sweep`."""
    return int(os.environ.get("NPROC", 0)) or len(os.sched_getaffinity(0))


def step() -> build.Code:
    """A zone's step. It is the same for all arms: their words of a row come last."""
    with ONE:
        return _step()


@cache
def _step() -> build.Code:
    root = Path(secretjax.__file__).parent
    found = [root / part for part in SOURCES]
    files = sorted(f for part in found for f in ([part] if part.is_file() else part.rglob("*.py")))
    key = "\n".join([jax.__version__, *(f.read_text(encoding="utf-8") for f in files)])
    return build.compiled(key, lambda: zone.module(lane.Lane.of(())))


class Native:
    """Whoever asks, compiled; of what they ask, a state at a time is on each of the threads."""

    def __init__(self, asks: program.Asks):
        """Raises `trace.CannotTrace`."""
        text, self.layout = program.module(asks)
        self.code, self.step = build.compiled(text, lambda: text), step()
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
        )
        self.call = kind(self.code.address)

    def to_stop(self, zones: Zone, own, tables, limit: int = LIMIT):
        """The states of a block at their stops. Raises `UserError` where one does not get there."""
        block = Block(self, len(own.pc))
        block.place(0, zones, own, tables)
        block.go(range(block.lanes), limit)
        return block.zones(), block.own()

    def flow(self, tasks: Iterable[Task], lanes: int) -> Iterator[Seen]:
        """Each state at each of its stops, a group of them after the other."""
        coming = iter(tasks)
        lanes = min(lanes, GROUP)
        while group := list(islice(coming, lanes)):
            yield from self._group(group, Block(self, lanes))

    def _group(self, group: list[Task], block: "Block") -> Iterator[Seen]:
        for k, task in enumerate(group):
            one = lambda tree: jax.tree.map(lambda x: np.asarray(x)[None], tree)  # noqa: E731
            assert task.table is not None
            block.place(k, one(task.zone), one(task.own), task.table[None])
        group = [placed(task) for task in group]
        while live := [k for k, task in enumerate(group) if task.stop() >= 0]:
            block.stop(live, [group[k].stop() for k in live])
            block.go(live)
            whole = live == list(range(len(group)))
            yield Seen([group[k] for k in live], *block.state(None if whole else live))
            for k in live:
                group[k] = group[k]._replace(point=group[k].point + 1)


def apart(lanes: int, length: int) -> np.ndarray:
    """Zeros for lanes that several threads write at a time: no two share a line of the cache."""
    lines = -(-length // WORDS) * WORDS
    return aligned(lanes, lines)[:, :length]


def aligned(lanes: int, length: int) -> np.ndarray:
    """Zeros, placed so that XLA reads them where they are and makes no copy."""
    raw = np.zeros(4 * lanes * length + LINE, np.uint8)
    first = -raw.ctypes.data % LINE
    return raw[first : first + 4 * lanes * length].view(np.int32).reshape(lanes, length)


class Block:
    """Several states: a row of words each, and their arrays, one state behind the other."""

    def __init__(self, native: Native, lanes: int):
        self.native, self.lanes, self.words = native, lanes, native.layout.words
        self.rows = apart(lanes, len(self.words))
        self.arrays: dict[str, np.ndarray] = {}
        self.places = np.zeros((lanes, len(lane.ARRAYS)), np.uintp)

    def place(self, first: int, zones: Zone, own, tables) -> None:
        """These states, from this lane on; `tables` are their scripts."""
        behind = first + len(own.pc)
        arrays = {name: getattr(zones, name) for name in ("link", "block", "handle", "ticks")}
        arrays["script"] = np.asarray(tables).reshape(len(own.pc), -1)
        if hasattr(own, "tables"):
            found = own.tables._asdict().items()
            arrays |= {f"tables.{name}": np.asarray(x).reshape(len(x), -1) for name, x in found}
            own = own._replace(tables=None)
        for name, array in arrays.items():
            self._room(name, array.shape[1])[first:behind, : array.shape[1]] = array
        rows = self.rows[first:behind]
        for prefix, tree in (("limits", zones.limits), ("now", zones.now), ("own", own)):
            rows[:, self.native.layout.spans[prefix]] = np.stack(
                [np.asarray(leaf) for leaf in jax.tree.leaves(tree)], 1
            )
        sizes = {name: arrays[name].shape[1] for name in ("link", "block", "handle")}
        for name, size in (sizes | {"script": arrays["script"].shape[1] // 2}).items():
            rows[:, self.words[f"size.{name}"]] = size
        rows[:, self.words["pages"]] = sizes["link"] // 2 - HEADS

    def _room(self, name: str, length: int) -> np.ndarray:
        """The array of all lanes with at least so many words a lane."""
        array = self.arrays.get(name)
        if array is None or array.shape[1] < length:
            wider = (apart if length < SHORT else aligned)(self.lanes, length)
            if array is not None:
                wider[:, : array.shape[1]] = array
            self.arrays[name] = array = wider
            first, stride = array.ctypes.data, array.strides[0]
            at = first + stride * np.arange(self.lanes, dtype=np.uintp)
            self.places[:, lane.ARRAYS.index(name)] = at
        return array

    def stop(self, lanes: Sequence[int], rows: Sequence[int]) -> None:
        """Where these lanes are to wait next."""
        self.rows[list(lanes), self.words["own.stop"]] = rows

    def go(self, lanes: Sequence[int], limit: int = LIMIT) -> None:
        """These lanes to their stops. Raises `UserError` where so many steps were not enough."""
        step = self.native.step.address

        def run(k: int) -> int:
            row, places = self.rows[k].ctypes.data, self.places[k].ctypes.data
            return self.native.call(row, places, step, limit)

        with ThreadPoolExecutor(min(threads(), len(lanes))) as pool:
            stuck = sum(pool.map(run, lanes))
        if stuck:
            raise late(stuck, limit)

    def zones(self) -> Zone:
        """The zones of all lanes, nothing being left to be written; views of the block."""
        parts: dict[str, Any] = {
            name: self.arrays[name] for name in ("link", "block", "handle", "ticks")
        }
        limits, now = (self.rows[:, self.native.layout.spans[name]].T for name in ("limits", "now"))
        blank = nothing_written(np.zeros(self.lanes, np.int32))
        return Zone(**parts, limits=Limits(*limits), now=Registers(*now), writes=Writes(**blank))

    def own(self):
        """The registers of all lanes beside the zones', with their tables."""
        tree = self.native.layout.own
        words = self.rows[:, self.native.layout.spans["own"]].T
        own = jax.tree.unflatten(jax.tree.structure(tree), list(words))
        if not hasattr(own, "tables"):
            return own
        shapes = lane.TABLES.items()
        found: dict[str, Any] = {
            name: self.arrays[f"tables.{name}"].reshape(-1, *shape) for name, shape in shapes
        }
        return own._replace(tables=lane.Tables(**found))

    def state(self, lanes: Sequence[int] | None) -> tuple:
        """Zones and registers of these lanes, or of all."""
        both = self.zones(), self.own()
        if lanes is None:
            return both
        picked = list(lanes) + list(lanes[:1]) * (self.lanes - len(lanes))
        return jax.tree.map(lambda x: x[picked], both)
