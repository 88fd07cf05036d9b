"""The direct-map oracle does what set_memory.c does to one 1 GiB entry."""

import numpy as np
import pytest

from tests.oracle.directmap import DirectMap, NoTablePage

GIGABYTE = 262144


def change(direct_map: DirectMap, action) -> tuple[int, ...]:
    """(1G splits, 2M splits, tables, entries 1G, 2M, 4K, flushes), each as a difference."""

    def numbers():
        counts, entries = direct_map.counts, direct_map.entries()
        counted = counts["split_1G"], counts["split_2M"], counts["tables"]
        return (
            *counted,
            *(entries[level] for level in ("1G", "2M", "4K")),
            counts["flush_tlb_all"],
        )

    before = numbers()
    action(direct_map)
    return tuple(b - a for a, b in zip(before, numbers(), strict=True))


def remove(*calls):
    def action(direct_map):
        for pfn, pages in calls:
            direct_map.remove(pfn, pages)

    return action


NOTHING = ()
VECTORS = {
    "one page": (NOTHING, [(77, 1)], (1, 1, 2, -1, 511, 512, 2)),
    "then a page in the same 2M": ([(77, 1)], [(78, 1)], (0, 0, 0, 0, 0, 0, 0)),
    "then a page in another 2M": ([(77, 1)], [(5000, 1)], (0, 1, 1, 0, -1, 512, 1)),
    "one aligned 2M": (NOTHING, [(1024, 512)], (1, 0, 1, -1, 512, 0, 1)),
    "the whole 1G": (NOTHING, [(0, GIGABYTE)], (0, 0, 0, 0, 0, 0, 0)),
    "all pages one at a time": (
        NOTHING,
        [(pfn, 1) for pfn in range(GIGABYTE)],
        (1, 512, 513, -1, 0, GIGABYTE, 513),
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name):
    first, then, expected = VECTORS[name]
    direct_map = DirectMap.of_size(GIGABYTE)
    remove(*first)(direct_map)
    assert change(direct_map, remove(*then)) == expected
    assert direct_map.absent_pages() == sum(pages for _, pages in [*first, *then])


@pytest.mark.parametrize("name", [n for n in VECTORS if n != "all pages one at a time"])
def test_putting_back_changes_no_entry(name):
    first, then, _ = VECTORS[name]
    direct_map = DirectMap.of_size(GIGABYTE)
    remove(*first, *then)(direct_map)
    back = change(direct_map, lambda m: [m.put_back(*call) for call in [*first, *then]])
    assert back == (0,) * 7
    assert direct_map.absent_pages() == 0


def test_random_pages_split_as_many_2m_entries_as_they_touch():
    pages = np.random.default_rng(1).integers(0, GIGABYTE, 512)
    direct_map = DirectMap.of_size(GIGABYTE)
    changed = change(direct_map, remove(*((pfn, 1) for pfn in pages.tolist())))
    touched = len(set((pages // 512).tolist()))
    assert changed[:3] == (1, touched, 1 + touched)
    expected = 512 * (1 - (1 - 1 / 512) ** 512)
    assert abs(touched - expected) < 4 * np.sqrt(expected * (1 - expected / 512))
    assert direct_map.absent_pages() == len(set(pages.tolist()))


def test_putting_one_page_of_an_absent_2m_entry_back_splits_it():
    direct_map = DirectMap.of_size(GIGABYTE, "2M")
    direct_map.remove(512, 512)
    changed = change(direct_map, lambda m: m.put_back(600))
    assert changed == (0, 1, 1, 0, -1, 512, 1)
    assert direct_map.is_present(600)
    assert not direct_map.is_present(601)
    assert direct_map.absent_pages() == 511


def test_without_a_table_page_nothing_is_removed():
    granted = iter([True, False])
    direct_map = DirectMap.of_size(GIGABYTE, table_page=lambda: next(granted))
    with pytest.raises(NoTablePage):
        direct_map.remove(0)
    assert direct_map.absent_pages() == 0
    assert direct_map.entries() == {"4K": 0, "2M": 512, "1G": 0}


def test_levels_of_a_case():
    direct_map = DirectMap.of_levels([1, 2, 2])
    assert direct_map.entries() == {"4K": 512, "2M": 2, "1G": 0}
