"""The contenders: the same requests on the same zones, and the lists that they end with.

`reset` puts the zones as they were, `run` answers all requests, `lists` says how it ended: None
where the work is another.
"""

import ctypes
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import jax
import numpy as np

from secretjax import engine, runners
from secretjax.bench import peer
from secretjax.cases import StartState
from secretjax.errors import UserError
from secretjax.mm.layout import HEADS, NODE, WHERE_SHIFT, Where
from secretjax.mm.load import load
from secretjax.mm.state import Op
from secretjax.mm.words import NR_PAGE_ORDERS
from secretjax.native.run import Block
from secretjax.workloads import _recorded as recorded

TYPES = peer.TYPES
ARRAYS = ("next", "prev", "order", "movable", "type", "free", "alike")


class Native:
    """The engine's native code on buddy and fallback alone: what the peers do."""

    name = "engine"

    def __init__(self, start: StartState, asked: np.ndarray, threads: int):
        """asked: Int32 [states, events, 5] as of a replay case."""
        self.count, self.asked = len(asked), asked
        self.zone = jax.tree.map(np.asarray, self.loaded(start))
        self.rows = self.encoded(asked)
        runner = runners.of_stream(engine.pages_of(self.zone))
        if isinstance(runner, runners.Xla):
            raise UserError("bench: no native code here: one CPU device of x86-64 is needed")
        self.runner, self.threads = runner, threads
        self.block: Block | None = None

    def loaded(self, start: StartState):
        return load(start, int((self.asked[0, :, 0] == 0).sum()), percpu=False)

    def encoded(self, asked: np.ndarray) -> np.ndarray:
        return np.stack([recorded.encode(rows) for rows in asked])

    def zones(self):
        return jax.tree.map(lambda x: np.broadcast_to(x, (self.count, *x.shape)), self.zone)

    def reset(self) -> None:
        begin: Any = np.zeros(self.count, np.int32)
        block = self.block = self.block or Block(self.runner, self.count)
        block.place(0, self.zones(), recorded.Cursor(begin, begin), self.rows)
        block.stop(range(self.count), [self.rows.shape[1]] * self.count)

    def run(self) -> None:
        assert self.block is not None
        with mock.patch.dict(os.environ, NPROC=str(self.threads)):
            self.block.go(range(self.count))
        engine.check_faults(self.block.zones(), range(self.count), [], self.name, 0)

    def lists(self) -> np.ndarray | None:
        assert self.block is not None
        return engine_lists(np.asarray(self.block.zones().link))

    def state_bytes(self) -> int:
        return sum(x.nbytes for x in jax.tree.leaves(self.zone)) + self.rows[0].nbytes


class Dynamics(Native):
    """The same code with all that surrounds it: per-CPU lists, watermarks, kernel threads."""

    name = "engine, all dynamics"

    def loaded(self, start: StartState):
        return load(start, int((self.asked[0, :, 0] == 0).sum()))

    def encoded(self, asked: np.ndarray) -> np.ndarray:
        rows = super().encoded(asked)
        rows[..., 0] += Op.GET - Op.ALLOC
        rows[..., 0] |= 1 << recorded.FRESH
        assert Op.PUT - Op.FREE == Op.GET - Op.ALLOC
        return rows

    def zones(self):
        base = jax.tree.map(np.asarray, self.zone)
        timed = [engine.timed(base, engine.generator(1, k), 0) for k in range(self.count)]
        whole = super().zones()
        stack = lambda *leaves: np.stack(leaves)  # noqa: E731
        limits = jax.tree.map(stack, *(z.limits for z in timed))
        return whole._replace(limits=limits, now=jax.tree.map(stack, *(z.now for z in timed)))

    def lists(self) -> np.ndarray | None:
        return None


class Scalar:
    """What both scalar peers share: the arrays of all states."""

    name: str

    def __init__(self, start: StartState, asked: np.ndarray, threads: int):
        self.start, self.threads = peer.Peer(start), threads
        self.asked = np.ascontiguousarray(asked)
        self.count = len(asked)
        self.base = {name: getattr(self.start, name) for name in ARRAYS}
        self.all = {name: np.stack([x] * self.count) for name, x in self.base.items()}
        self.pfn = np.full((self.count, int((asked[0, :, 0] == 0).sum())), -1, np.int32)

    def reset(self) -> None:
        for name, array in self.all.items():
            array[:] = self.base[name]
        self.pfn[:] = -1

    def run(self) -> None:
        raise NotImplementedError

    def lists(self) -> np.ndarray:
        after, order = self.all["next"], self.all["order"]
        found = np.full((self.count, self.start.pages + NR_PAGE_ORDERS * TYPES), -1, np.int32)
        found[:, : self.start.pages] = np.where(order >= 0, after[:, : self.start.pages], -1)
        found[:, self.start.pages :] = after[:, self.start.pages :]
        return found

    def state_bytes(self) -> int:
        own = sum(x.nbytes for x in self.base.values()) + self.pfn[0].nbytes
        return own + self.asked[0].nbytes


class ScalarC(Scalar):
    """benchmarks/buddy.c, a thread for each core."""

    name = "scalar C"

    def reset(self) -> None:
        super().reset()
        self.structs = []
        for k in range(self.count):
            places = (self.all[name][k].ctypes.data for name in ARRAYS)
            counts = (ctypes.c_int64 * TYPES)(*self.start.counts)
            zone = peer.Zone(self.start.pages, *self.start.bounds, *places, counts, 0, -1)
            self.structs.append(zone)

    def run(self) -> None:
        call, events = peer.library().answer, ctypes.c_int64(self.asked.shape[1])

        def some(first: int) -> None:
            for k in range(first, self.count, self.threads):
                place = (ctypes.c_void_p(x[k].ctypes.data) for x in (self.asked, self.pfn))
                requests, pfn = place
                call(ctypes.byref(self.structs[k]), requests, events, pfn)

        in_threads(self.threads, some)


class Numba(Scalar):
    """The same in Numba."""

    name = "Numba"

    def __init__(self, start: StartState, asked: np.ndarray, threads: int):
        super().__init__(start, asked, threads)
        self.answer = numba_answer()

    def reset(self) -> None:
        super().reset()
        self.now = np.array([[*self.start.counts, 0, -1]] * self.count, np.int64)

    def run(self) -> None:
        import numba

        numba.set_num_threads(self.threads)
        bounds = np.array(self.start.bounds, np.int64)
        self.answer(*self.all.values(), self.now, bounds, self.asked, self.pfn)


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """`work(0)` to `work(count - 1)`, each in a thread of its own; C lets the others go on."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def numba_answer() -> Callable[..., Any]:
    """The compiled peer; `UserError` where there is no Numba."""
    try:
        from secretjax.bench.numba_buddy import answer_all
    except ImportError as e:
        raise UserError("bench: Numba is not here; install secretjax[bench]") from e
    return answer_all


def engine_lists(link: np.ndarray) -> np.ndarray:
    """The engine's lists as the peers' `next`: Int32 [states, pages + heads], -1 beside lists."""
    pages = link.shape[1] // 2 - HEADS
    words = link.reshape(len(link), -1, 2)[:, :, 0]
    heads = np.arange(NR_PAGE_ORDERS * TYPES)
    order, kind = heads // TYPES, heads % TYPES
    of_engine = pages + kind * NR_PAGE_ORDERS + order
    names = np.full(pages + HEADS, -1, np.int32)
    names[:pages] = np.arange(pages)
    names[of_engine] = pages + heads
    on_list = (words >> WHERE_SHIFT) == Where.BUDDY
    after = names[words & NODE]
    found = np.empty((len(link), pages + len(heads)), np.int32)
    found[:, :pages] = np.where(on_list, after, -1)[:, :pages]
    found[:, pages:] = after[:, of_engine]
    return found


Side = Native | Scalar


def digest(side: Side) -> str | None:
    """Hash of all lists of all states in their order; None where the work is another."""
    lists = side.lists()
    return None if lists is None else hashlib.sha256(np.ascontiguousarray(lists).data).hexdigest()


SIDES: tuple[type, ...] = (Native, Dynamics, ScalarC, Numba)
