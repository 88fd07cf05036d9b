"""The scalar peer of the engine, benchmarks/buddy.c: the same requests, one zone at a time."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from secretjax.errors import UserError
from secretjax.mm.words import MAX_PAGE_ORDER, PAGEBLOCK_PAGES, Migratetype

TYPES = int(Migratetype.ISOLATE) + 1
SOURCE = Path(str(resources.files("secretjax"))).parent / "benchmarks" / "buddy.c"
POINTERS = ("next", "prev", "order", "movable", "type", "free", "alike")


class Zone(ctypes.Structure):
    """struct zone."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("pages", "start_pfn", "end_pfn")),
        *((name, ctypes.c_void_p) for name in POINTERS),
        ("free_pages", ctypes.c_int64 * TYPES),
        ("mode", ctypes.c_int64),
        ("refill", ctypes.c_int64),
    )


@cache
def library() -> ctypes.CDLL:
    """The compiled peer. `UserError` where there is no C compiler or no source."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler or not SOURCE.exists():
        missing = "no C compiler (cc) was found" if not compiler else f"{SOURCE.name} is not here"
        raise UserError(f"bench: {missing}, but the scalar peer needs it")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "buddy.so"
        flags = ["-O3", "-march=native", "-std=c11", "-shared", "-fPIC"]
        done = subprocess.run(
            [compiler, *flags, "-o", str(made), str(SOURCE)], capture_output=True, text=True
        )
        if done.returncode:
            raise UserError(f"bench: {compiler} cannot compile {SOURCE.name}: {done.stderr[:400]}")
        return ctypes.CDLL(str(made))


class Peer:
    """One zone of the peer."""

    def __init__(self, start):
        """start: a `cases.StartState` under K612y."""
        if start.settings["fallback"] != "K612y":
            raise UserError(f"bench: the peer knows K612y, not {start.settings['fallback']}")
        end = start.zone["end_pfn"]
        pages = -(-end // PAGEBLOCK_PAGES) * PAGEBLOCK_PAGES
        of_pages = lambda flags: np.pad(flags.astype(np.uint8), (0, pages - end))  # noqa: E731
        of_blocks = lambda flags: flags.reshape(-1, PAGEBLOCK_PAGES).sum(1, dtype=np.int16)  # noqa: E731
        self.movable = of_pages(start.movable_pages())
        self.alike, self.free = of_blocks(self.movable), of_blocks(of_pages(start.free_pages()))
        self.type = np.zeros(pages // PAGEBLOCK_PAGES, np.uint8)
        self.type[start.block_pfn // PAGEBLOCK_PAGES] = start.block_mt
        self.order = np.full(pages, -1, np.int8)
        self.next = np.arange(pages + (MAX_PAGE_ORDER + 1) * TYPES, dtype=np.int32)
        self.prev, self.counts = self.next.copy(), [0] * TYPES
        self.pages, self.bounds = pages, (start.zone["start_pfn"], end)
        on_buddy = start.list_kind == 0
        columns = (c[on_buddy].tolist() for c in (start.list_pfn, start.list_order, start.list_mt))
        for pfn, order, mt in zip(*columns, strict=True):
            self.order[pfn] = order
            self.counts[mt] += 1 << order
            self._add_last(pfn, pages + order * TYPES + mt)

    def _add_last(self, pfn: int, head: int) -> None:
        before = self.prev[head]
        self.next[before] = self.prev[head] = pfn
        self.prev[pfn], self.next[pfn] = before, head

    def _struct(self) -> Zone:
        places = (getattr(self, name).ctypes.data for name in POINTERS)
        counts = (ctypes.c_int64 * TYPES)(*self.counts)
        return Zone(self.pages, *self.bounds, *places, counts, 0, -1)

    def answer(self, requests: Int32[np.ndarray, "requests 5"]) -> Int32[np.ndarray, " handles"]:
        """First page of each allocation, -1 where it is refused. requests: without snapshots."""
        requests = np.ascontiguousarray(requests)
        pfn = np.full(int((requests[:, 0] == 0).sum()), -1, np.int32)
        self.zone = self._struct()
        place = lambda x: ctypes.c_void_p(x.ctypes.data)  # noqa: E731
        library().answer(
            ctypes.byref(self.zone), place(requests), ctypes.c_int64(len(requests)), place(pfn)
        )
        return pfn

    def lists(self) -> Int32[np.ndarray, "blocks 3"]:
        """Every free block as (pfn, order, migratetype): by order, type, place in the list."""
        rows = np.zeros((self.pages, 3), np.int32)
        library().lists.restype = ctypes.c_int64
        count = library().lists(ctypes.byref(self.zone), ctypes.c_void_p(rows.ctypes.data))
        return rows[:count]
