"""The oracle with per-CPU lists is the kernel, on what tasks asked for and gave back.

Files in tasks/: `tasks` int32[n, 4], rows (0, order, type, -1) allocate, (1, order, -1, pfn) free.
For each allocation `pfn` (-1: refused; such a row stands once for each attempt of the request) and
`movable` (the pages go to an LRU list). In the end `pcp` (SCALARS) and `pcp_rows` (pfn, order,
type; list after list, head first). The start state: `case`, a file of params/kernel, or its arrays.
"""

from pathlib import Path

import numpy as np
import pytest

from secretjax.cases import StartState
from tests import expect
from tests.oracle.kernel import REFUSED, Kernel
from tests.oracle.lists import CMA, HIGHATOMIC, ISOLATE, MOVABLE, UNMOVABLE
from tests.oracle.pcp import LISTS, Pcp, order_to_pindex, pindex_to_order

TASKS = Path(__file__).with_name("tasks")
CASES = Path(__file__).parents[2] / "params" / "kernel"
NAMES = sorted(path.stem for path in TASKS.glob("*.npz"))
DEMANDS = ("tasks", "pfn", "movable", "pcp", "pcp_rows")
SCALARS = ("count", "high", "high_min", "high_max", "batch", "alloc_factor", "free_count")


def start_of(name: str, folder: Path) -> tuple[dict[str, np.ndarray], StartState]:
    """The arrays of a file in tasks/ and its start state."""
    with np.load(TASKS / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    if "case" in arrays:
        return arrays, expect.start(CASES / arrays["case"].item())
    np.savez(folder / "start.npz", **{k: v for k, v in arrays.items() if k not in DEMANDS})
    return arrays, expect.start(folder / "start.npz")


def answer(pcp: Pcp, tasks: np.ndarray, movable: np.ndarray) -> np.ndarray:
    """The pfns that `pcp` hands out."""
    pfns = []
    for op, order, mt, pfn in tasks.tolist():
        if op == 0:
            pfns.append(pcp.alloc(order, mt, movable=bool(movable[len(pfns)])))
        else:
            pcp.free(pfn, order)
    return np.array(pfns)


@pytest.mark.parametrize("name", NAMES)
def test_every_pfn_and_per_cpu_list_is_the_kernels(name, tmp_path):
    arrays, start = start_of(name, tmp_path)
    pcp = Pcp.from_start(start)
    mine = answer(pcp, arrays["tasks"], arrays["movable"])
    np.testing.assert_array_equal(mine, arrays["pfn"])
    assert [pcp.scalars()[f"pcp_{key}"] for key in SCALARS] == arrays["pcp"].tolist()
    np.testing.assert_array_equal(pcp.rows(), arrays["pcp_rows"])


def test_there_are_recordings():
    assert len(NAMES) == 7


def machine(**zone: int) -> Pcp:
    """Eight pageblocks, unmovable and movable in turn, all free but for the first."""
    kernel = Kernel(1, 8 * 512, [UNMOVABLE, MOVABLE] * 4)
    kernel.in_use[1:] = b"\1" * (kernel.end_pfn - 1)
    for pfn in range(512, kernel.end_pfn, 512):
        kernel.free(pfn, 9)
    known = {
        "managed": 4095, "min": 100, "low": 120, "high": 140, "boost": 0, "pcp_high": 40,
        "pcp_high_min": 40, "pcp_high_max": 400, "pcp_batch": 8, "pcp_alloc_factor": 0,
        "pcp_free_count": 0,
    }  # fmt: skip
    return Pcp(kernel, known | zone, 15000)


def test_each_order_and_type_has_its_list_and_order_9_has_two():
    low = [order_to_pindex(mt, order) for order in range(4) for mt in range(3)]
    assert low == list(range(12))
    assert [order_to_pindex(mt, 9) for mt in range(3)] == [12, 13, 12]
    assert [pindex_to_order(i) for i in range(LISTS)] == [i // 3 for i in range(12)] + [9, 9]


def test_refills_double_until_a_page_is_freed():
    pcp = machine()
    sizes = []
    while len(sizes) < 3:
        empty = pcp.count == 0
        pcp.alloc(0, MOVABLE)
        sizes += [pcp.count + 1] if empty else []
    assert (sizes, pcp.alloc_factor) == ([8, 16, 32], 3)
    pcp.free(pcp.alloc(0, MOVABLE), 0)
    assert pcp.alloc_factor == 1


def test_orders_4_to_8_bypass_the_lists():
    pcp = machine()
    pfn = pcp.alloc(4, MOVABLE)
    pcp.free(pfn, 4)
    assert (pcp.count, pcp.high, pcp.free_count) == (0, 40, 0)


def test_a_request_that_no_free_block_serves_is_refused_and_lowers_the_lists():
    pcp = machine()
    while pcp.alloc(9, MOVABLE) != REFUSED:
        assert not pcp.below_high
    assert pcp.below_high


@pytest.mark.parametrize(("big_cache", "counts"), [(True, [2, 4, 6, 0]), (False, [2, 0, 0, 0])])
def test_blocks_freed_in_a_row_after_many_frees_drain_everything(big_cache, counts):
    pcp = machine()
    pcp.free_high_batch = big_cache
    blocks = [pcp.alloc(1, MOVABLE) for _ in range(4)]
    pcp.free_count = 64
    found = []
    for pfn in blocks:
        pcp.free(pfn, 1)
        found.append(pcp.count)
    assert found == counts


def test_a_page_between_two_blocks_keeps_the_lists():
    pcp = machine()
    pcp.free_high_batch = False
    blocks = [pcp.alloc(1, MOVABLE) for _ in range(4)]
    page = pcp.alloc(0, MOVABLE)
    pcp.free_count = 64
    pcp.high = 400
    for pfn, order in [(blocks[0], 1), (page, 0), (blocks[1], 1)]:
        pcp.free(pfn, order)
    assert pcp.count == 12


def test_a_refill_leaves_room_for_a_batch():
    pcp = machine(pcp_high=400, pcp_alloc_factor=5)
    waiting = [pcp.alloc(0, UNMOVABLE) for _ in range(200)]
    pcp.drain_all()
    for pfn in waiting:
        pcp.free(pfn, 0)
    pcp.alloc_factor = 5
    pcp.alloc(0, MOVABLE)
    assert pcp.count == 400 - 8 - 1
    assert pcp.alloc_factor == 5


def test_full_lists_grow_with_what_is_freed_in_a_row():
    pcp = machine()
    pfns = [pcp.alloc(0, MOVABLE) for _ in range(200)]
    pcp.drain_all()
    pcp.high, pcp.free_count = 40, 0
    found = []
    for pfn in pfns[:80]:
        pcp.free(pfn, 0)
        found.append((pcp.high, pcp.count))
    assert found[38:40] == [(40, 39), (48, 40 - 32)]
    assert found[78:80] == [(48, 47), (88, 48 - 40)]


def test_a_failed_claim_boosts_up_to_the_factor():
    pcp = machine(managed=2048, boost=1024)
    pcp.kernel.counts["boosted"] = 3
    pcp._note_boosts(1)
    assert pcp.boost == 512
    pcp = machine(managed=2047)
    pcp._note_boosts(1)
    assert pcp.boost == 0
    pcp = machine(high=1000)
    pcp._note_boosts(2)
    assert pcp.boost == 1024
    pcp._note_boosts(1)
    assert pcp.boost == 1500


def test_only_pages_of_tasks_are_movable():
    pcp = machine()
    pfn = pcp.alloc(0, MOVABLE)
    assert sum(pcp.kernel.movable[512:]) == 1
    assert pcp.kernel.movable[pfn]
    pcp.free(pfn, 0)
    assert sum(pcp.kernel.movable[512:]) == 0
    pcp.alloc(0, UNMOVABLE, movable=True)
    assert sum(pcp.kernel.movable[512:]) == 1


def test_pages_of_cma_and_highatomic_wait_as_movable_and_isolated_ones_do_not_wait():
    pcp = machine()
    pfns = [pcp.alloc(0, MOVABLE) for _ in range(3)]
    waiting = len(pcp.lists[MOVABLE])
    for pfn, mt in zip(pfns, (HIGHATOMIC, CMA, ISOLATE), strict=True):
        pcp.kernel.block_mt[pfn >> 9] = mt
        pcp.free(pfn, 0)
    assert len(pcp.lists[MOVABLE]) == waiting + 2
    assert pcp.kernel.order_of[pfns[2]] == 0


def test_draining_empties_every_list():
    pcp = machine()
    for order in (0, 1, 2, 3, 9):
        pcp.alloc(order, MOVABLE)
    first, *rest = pcp.alloc_bulk(3, UNMOVABLE)
    assert rest == [first + 1, first + 2]
    pcp.drain_all()
    assert pcp.count == len(pcp.rows()) == 0
