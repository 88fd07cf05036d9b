"""A zone of the model as a start state: what `mm.load.load` does, the other way round."""

from dataclasses import replace

import numpy as np
from jaxtyping import Integer

from secretjax.cases import StartState
from secretjax.mm.layout import (
    CLASS_SHIFT,
    LIST_TYPES,
    LOW_ORDER_LISTS,
    NODE,
    ORDER_SHIFT,
    PCP_TYPES,
    TYPE,
    WHERE_SHIFT,
    Use,
    Where,
)
from secretjax.mm.state import Zone
from secretjax.mm.validate import every_list
from secretjax.mm.words import NR_PAGE_ORDERS, PAGEBLOCK_PAGES, Migratetype


def to_start(
    zone: Zone, base: StartState, use: Integer[np.ndarray, " handles"], name: str
) -> StartState:
    """The start state of a zone at rest, whose last writes are in its arrays.

    base: what the zone began as: its geometry, its settings. use: place in `base.page_classes` of
    what each handle stands for. Raises `ValueError` while pages are isolated.
    """
    end = base.zone["end_pfn"]
    rows = np.asarray(zone.link).reshape(-1, 2)
    listed = np.array(blocks_on_lists(rows, zone, end), np.int64).reshape(-1, 4)
    block = np.asarray(zone.block, np.int64)[: -(-end // PAGEBLOCK_PAGES)]
    now = {field: int(np.asarray(getattr(zone.now, field))) for field in PCP}
    count = (1 << listed[listed[:, 3] == 1, 1]).sum()
    return replace(
        base,
        name=name,
        zone=base.zone | {f"pcp_{PCP[f]}": n for f, n in now.items()} | {"pcp_count": int(count)},
        list_pfn=listed[:, 0],
        list_order=listed[:, 1],
        list_mt=listed[:, 2],
        list_kind=listed[:, 3],
        block_mt=block & TYPE,
        page_class=classes(rows[:end], base, use),
    )


# Registers, and zone fields without their "pcp_".
PCP = {"pcp_high": "high", "alloc_factor": "alloc_factor", "free_count": "free_count"}


def blocks_on_lists(rows: np.ndarray, zone: Zone, pages: int) -> list[tuple[int, int, int, int]]:
    """(pfn, order, migratetype, kind) of each block on a list, in list order, head first."""
    found = []
    first_cached = pages + LIST_TYPES * NR_PAGE_ORDERS
    after = (rows[:, 0] & NODE).tolist()
    for head, mt, order, full in every_list(zone.now, pages):
        if not full:
            continue
        kind, k = int(mt < 0), head - first_cached
        if mt < 0:
            mt = k % PCP_TYPES if k < LOW_ORDER_LISTS else k - LOW_ORDER_LISTS
        elif mt >= Migratetype.POOL:
            raise ValueError(f"{name_of(mt)} pages are isolated: the zone is not at rest")
        at = head
        while (at := after[at]) != head:
            found.append((at, order, int(mt), kind))
    return found


def name_of(migratetype: int) -> str:
    """Of a list that only the model has."""
    return Migratetype(migratetype).name


def classes(rows: np.ndarray, base: StartState, use: np.ndarray) -> np.ndarray:
    """uint8 [pages]: what each page is used for, as places in `base.page_classes`."""
    word, owner = rows[:, 0], rows[:, 1]
    where = word >> WHERE_SHIFT
    head = np.flatnonzero((where != Where.NONE) | ((word & Use.USED) != 0))
    names = base.page_classes
    kind = where[head]
    handle = np.where(kind == Where.NONE, owner[head], -1)
    own = np.where(handle >= 0, use[handle], (word[head] >> CLASS_SHIFT) & 15)
    own = np.where(kind == Where.BUDDY, names.index("free_buddy"), own)
    own = np.where(kind == Where.PCP, names.index("free_pcp"), own)
    found = base.page_class.copy()
    size = 1 << ((word[head] >> ORDER_SHIFT) & 15)
    inside = np.repeat(head - np.concatenate([[0], np.cumsum(size)[:-1]]), size)
    found[inside + np.arange(size.sum())] = np.repeat(own, size)
    return found
