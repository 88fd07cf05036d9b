"""Replay cases: buddy-level requests, and the answers to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer

from secretjax.cases.archive import REMAKE, Archive, in_range, overlap
from secretjax.cases.start import StartState
from secretjax.errors import UserError
from secretjax.files import replacing
from secretjax.mm.words import MAX_PAGE_ORDER

MOST_REQUESTS = 1 << 22
MOST_SNAPSHOTS = 1 << 12
START_PAGE = -1  # handle of pages that were in use at the start
LABEL = -1  # type of a free: that of the pageblock


class Request(IntEnum):
    """First column of the requests."""

    ALLOC = 0  # order, type, handle (counted from 0), refill
    FREE = 1  # order, type or LABEL, handle, offset to its pfn; or START_PAGE and the pfn itself
    SNAPSHOT = 2  # 0, 0, number, 0


@dataclass(frozen=True, eq=False)
class ReplayCase:
    """What was asked of a kernel's buddy lists, in its order."""

    start: StartState
    requests: Int32[np.ndarray, "requests 5"]
    snapshots: tuple[str, ...]


def read_replay(archive: Archive, start: StartState) -> ReplayCase:
    """The rest of a replay case."""
    snapshots = archive.strings("snapshot", MOST_SNAPSHOTS)
    requests = archive.integers("req", None, 5, most=MOST_REQUESTS)
    in_range("req column 0", requests[:, 0], 0, max(Request))
    in_range("req column 1 (order)", requests[:, 1], 0, MAX_PAGE_ORDER)
    in_range("req column 2 (type)", requests[:, 2], LABEL, 5)
    in_range("req column 3", requests[:, 3], START_PAGE, MOST_REQUESTS)
    in_range("req column 4", requests[:, 4], 0, (1 << 31) - 1)
    _check_allocations(requests[requests[:, 0] == Request.ALLOC])
    _check_snapshots(requests[requests[:, 0] == Request.SNAPSHOT], len(snapshots))
    _check_frees(requests, start)
    return ReplayCase(start, requests.astype(np.int32), snapshots)


def _check_allocations(rows: np.ndarray) -> None:
    in_range("type of an allocation", rows[:, 2], 0, 5)
    wrong = np.flatnonzero(rows[:, 3] != np.arange(len(rows)))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(f"allocation {at} has handle {rows[at, 3]}, handles count from 0; {REMAKE}")
    wrong = np.flatnonzero(np.diff(rows[:, 4]) < 0)
    if len(wrong):
        raise UserError(f"allocation {wrong[0] + 1} belongs to an earlier refill; {REMAKE}")


def _check_snapshots(rows: np.ndarray, names: int) -> None:
    expected = np.zeros((names, 5), np.int64)
    expected[:, 0] = Request.SNAPSHOT
    expected[:, 3] = np.arange(names)
    if not np.array_equal(rows, expected):
        raise UserError(f"req asks for {len(rows)} snapshots, {names} are named in order; {REMAKE}")


def _check_frees(requests: np.ndarray, start: StartState) -> None:
    is_alloc = requests[:, 0] == Request.ALLOC
    orders = requests[is_alloc, 1]
    earlier = np.cumsum(is_alloc)
    which = requests[:, 0] == Request.FREE
    frees, earlier = requests[which], earlier[which]
    size, handle, first = 1 << frees[:, 1], frees[:, 3], frees[:, 4]
    if start.settings["fallback"] != "K511":
        in_range("type of a free (this kernel has but the pageblock's)", frees[:, 2], LABEL, LABEL)
    wrong = np.flatnonzero(handle >= earlier)
    if len(wrong):
        at = wrong[0]
        raise UserError(
            f"free {at} names handle {handle[at]}, {earlier[at]} allocations precede it; {REMAKE}"
        )
    old = handle == START_PAGE
    limit = np.full(len(frees), start.zone["end_pfn"])
    limit[~old] = 1 << orders[handle[~old]]
    wrong = np.flatnonzero((first & (size - 1) != 0) | (first + size > limit))
    if len(wrong):
        at = wrong[0]
        raise UserError(
            f"free {at} of order {frees[at, 1]} at {first[at]} is not an aligned part of what it "
            f"names; {REMAKE}"
        )
    _check_freed_once(start, old, handle, first, size)


def _check_freed_once(start, old, handle, first, size) -> None:
    block = np.where(old, 0, (handle << MAX_PAGE_ORDER) + (1 << 40)) + first
    twice = overlap(block, size)
    if twice is not None:
        raise UserError(f"free {twice} gives back pages that an earlier one gave back; {REMAKE}")
    free_before = np.concatenate([[0], np.cumsum(start.free_pages(), dtype=np.int32)])
    first, size = first[old], size[old]
    wrong = np.flatnonzero(
        (free_before[first + size] > free_before[first]) | (first < start.zone["start_pfn"])
    )
    if len(wrong):
        raise UserError(
            f"a free names pfn {first[wrong[0]]}, which was not in use at the start; {REMAKE}"
        )


def write_replay(
    path: str | Path,
    request_pfn: Integer[np.ndarray, " allocations"],
    lists: Sequence[Integer[np.ndarray, "_ 3"]],
) -> None:
    """The answer to a replay case.

    `request_pfn`: first pfn given to each allocation, -1 if refused. `lists`: at each snapshot, the
    free blocks as rows (pfn, order, type); within a list in its order, head first.
    """
    rows = [np.asarray(r, np.int64).reshape(-1, 3) for r in lists]
    rows = [r[np.lexsort((r[:, 2], r[:, 1]))] for r in rows]
    flat = np.concatenate([*rows, np.zeros((0, 3), np.int64)])
    with replacing(path) as temporary, open(temporary, "wb") as f:
        np.savez_compressed(
            f,
            request_pfn=np.asarray(request_pfn, np.int64),
            list_off=np.cumsum([0] + [len(r) for r in rows]),
            list_pfn=flat[:, 0].astype(np.uint32),
            list_order=flat[:, 1].astype(np.uint8),
            list_mt=flat[:, 2].astype(np.uint8),
        )
