"""The scalar peer in Numba: benchmarks/buddy.c line by line, `prange` over the states.

Arrays of a state as there; its registers are int64 [8]: free pages of the six types, mode, refill.
"""

from inspect import unwrap

import numba
import numpy as np

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, CMA, ISOLATE, TYPES = range(7)
MAX_ORDER, BLOCK_ORDER, BLOCK_PAGES, NONE = 10, 9, 512, -1
NORMAL, TRY_CMA, CLAIM, STEAL = range(4)
MODE, REFILL = 6, 7
FALLBACKS = np.array([[RECLAIMABLE, MOVABLE], [RECLAIMABLE, UNMOVABLE], [UNMOVABLE, MOVABLE]])


def compiled(function):
    """Compiled by Numba, without the checks that tests wrap around every function."""
    return numba.njit(nogil=True)(unwrap(function))


@compiled
def first(z, order, kind):
    pages = len(z[2])
    at = z[0][pages + order * TYPES + kind]
    return at if at < pages else NONE


@compiled
def count(z, pfn, order, kind, sign):
    free, now = z[5], z[7]
    now[kind] += sign * (1 << order)
    if order <= BLOCK_ORDER:
        free[pfn >> BLOCK_ORDER] += sign * (1 << order)
        return
    for b in range(1 << (order - BLOCK_ORDER)):
        free[(pfn >> BLOCK_ORDER) + b] += sign * BLOCK_PAGES


@compiled
def add(z, pfn, order, kind, tail):
    after_of, before_of = z[0], z[1]
    head = len(z[2]) + order * TYPES + kind
    before = before_of[head] if tail else head
    after = after_of[before]
    after_of[before] = pfn
    before_of[after] = pfn
    before_of[pfn] = before
    after_of[pfn] = after
    z[2][pfn] = order
    count(z, pfn, order, kind, 1)


@compiled
def drop(z, pfn, order, kind):
    after_of, before_of = z[0], z[1]
    after_of[before_of[pfn]] = after_of[pfn]
    before_of[after_of[pfn]] = before_of[pfn]
    z[2][pfn] = NONE
    count(z, pfn, order, kind, -1)


@compiled
def expand(z, pfn, low, high, kind):
    while high > low:
        high -= 1
        add(z, pfn + (1 << high), high, kind, False)


@compiled
def smallest(z, order, kind):
    for current in range(order, MAX_ORDER + 1):
        pfn = first(z, current, kind)
        if pfn != NONE:
            drop(z, pfn, current, kind)
            expand(z, pfn, order, current, kind)
            return pfn
    return NONE


@compiled
def fallback(z, order, kind):
    if kind > RECLAIMABLE:
        return NONE
    for k in range(2):
        if first(z, order, FALLBACKS[kind, k]) != NONE:
            return FALLBACKS[kind, k]
    return NONE


@compiled
def retype(z, pfn, order, kind):
    begin = pfn >> BLOCK_ORDER
    for b in range(begin, begin + (1 << (order - BLOCK_ORDER))):
        z[4][b] = kind


@compiled
def enough(z, block, label, kind):
    free, alike = z[5][block], 0
    if kind == MOVABLE:
        alike = z[6][block]
    elif label == MOVABLE:
        alike = BLOCK_PAGES - free - z[6][block]
    return free + alike >= BLOCK_PAGES // 2


@compiled
def try_to_claim(z, pfn, current, order, kind, bounds):
    label = z[4][pfn >> BLOCK_ORDER]
    if label == HIGHATOMIC:
        return NONE
    if current >= BLOCK_ORDER:
        drop(z, pfn, current, label)
        retype(z, pfn, current, kind)
        expand(z, pfn, order, current, kind)
        return pfn
    begin = pfn & -BLOCK_PAGES
    end = begin + BLOCK_PAGES
    if begin < bounds[0] or end > bounds[1]:
        return NONE
    if not enough(z, begin >> BLOCK_ORDER, label, kind):
        return NONE
    at = begin
    while at < end:
        size = z[2][at]
        if size == NONE:
            at += 1
            continue
        drop(z, at, size, label)
        add(z, at, size, kind, True)
        at += 1 << size
    z[4][begin >> BLOCK_ORDER] = kind
    return smallest(z, order, kind)


@compiled
def claim(z, order, kind, bounds):
    for current in range(MAX_ORDER, order - 1, -1):
        other = fallback(z, current, kind)
        if other == NONE:
            continue
        if current < BLOCK_ORDER // 2 and kind == MOVABLE:
            return NONE
        pfn = try_to_claim(z, first(z, current, other), current, order, kind, bounds)
        if pfn != NONE:
            return pfn
    return NONE


@compiled
def steal(z, order, kind):
    for current in range(order, MAX_ORDER + 1):
        other = fallback(z, current, kind)
        if other == NONE:
            continue
        pfn = first(z, current, other)
        drop(z, pfn, current, other)
        expand(z, pfn, order, current, other)
        return pfn
    return NONE


@compiled
def rmqueue(z, order, kind, bounds):
    now = z[7]
    if kind == MOVABLE and now[CMA] > now[:ISOLATE].sum() // 2:
        pfn = smallest(z, order, CMA)
        if pfn != NONE:
            return pfn
    if now[MODE] == NORMAL:
        pfn = smallest(z, order, kind)
        if pfn != NONE:
            return pfn
    if now[MODE] <= TRY_CMA and kind == MOVABLE:
        pfn = smallest(z, order, CMA)
        if pfn != NONE:
            now[MODE] = TRY_CMA
            return pfn
    if now[MODE] <= CLAIM:
        pfn = claim(z, order, kind, bounds)
        if pfn != NONE:
            now[MODE] = NORMAL
            return pfn
    pfn = steal(z, order, kind)
    if pfn != NONE:
        now[MODE] = STEAL
    return pfn


@compiled
def mark(z, pfn, order, movable):
    for at in range(pfn, pfn + (1 << order)):
        z[6][at >> BLOCK_ORDER] += movable - z[3][at]
        z[3][at] = movable


@compiled
def free_one(z, pfn, order, kind):
    pages = len(z[2])
    while order < MAX_ORDER:
        buddy = pfn ^ (1 << order)
        if buddy >= pages or z[2][buddy] != order:
            break
        other = kind
        if order >= BLOCK_ORDER:
            other = z[4][buddy >> BLOCK_ORDER]
            if other != kind and (other > RECLAIMABLE or kind > RECLAIMABLE):
                break
        drop(z, buddy, order, other)
        if other != kind:
            retype(z, buddy, order, kind)
        pfn &= buddy
        order += 1
    tail = False
    if order < MAX_ORDER - 1:
        above = (pfn & ~(1 << order)) ^ (2 << order)
        tail = above < pages and z[2][above] == order + 1
    add(z, pfn, order, kind, tail)


@compiled
def answer(z, bounds, requests, pfn):
    now = z[7]
    for k in range(len(requests)):
        op, order, kind, handle, extra = requests[k]
        if op == 0:
            if extra != now[REFILL]:
                now[MODE] = NORMAL
            now[REFILL] = extra
            got = rmqueue(z, order, kind, bounds)
            pfn[handle] = got
            if got != NONE:
                mark(z, got, order, 1 if kind == MOVABLE else 0)
            continue
        if handle >= 0 and pfn[handle] == NONE:
            continue
        at = extra + (pfn[handle] if handle >= 0 else 0)
        mark(z, at, order, 0)
        step = min(order, BLOCK_ORDER)
        for part in range(at, at + (1 << order), 1 << step):
            free_one(z, part, step, z[4][part >> BLOCK_ORDER])


def _answer_all(after, before, order, movable, kind, free, alike, now, bounds, requests, pfn):
    """All states, in as many threads as `numba.set_num_threads` says."""
    for s in numba.prange(len(after)):
        z = (after[s], before[s], order[s], movable[s], kind[s], free[s], alike[s], now[s])
        answer(z, bounds, requests[s], pfn[s])


answer_all = numba.njit(parallel=True, nogil=True)(unwrap(_answer_all))
