"""What is read of /proc/kpageflags: in pieces, in little memory, and to where it ends."""

import time
import tracemalloc

import numpy as np

from secretjax.cases import CLASSES
from secretjax.machine import pages


def test_free_blocks_are_the_largest():
    free = np.zeros(4096, bool)
    free[1:8] = free[1024:3072] = True
    pfn, order = pages.free_blocks(free, 0)
    assert pfn.tolist() == [1, 2, 4, 1024, 2048] and order.tolist() == [0, 1, 2, 10, 10]


def test_blocks_are_counted_in_pieces_as_in_one(monkeypatch):
    monkeypatch.setattr(pages, "PIECE", 2048)
    rng = np.random.default_rng(1)
    used = np.repeat(rng.random(400) < 0.2, 64) & (rng.random(25600) < 0.3)
    used[9000:16000] = False
    classes = np.where(used, CLASSES.index("slab"), CLASSES.index("free_buddy")).astype(np.uint8)
    for start in (0, 1, 700, 4096):
        _, order = pages.free_blocks(~used, start)
        counted = pages.free_counts(classes, start)
        assert counted.tolist() == np.bincount(order, minlength=11).tolist()
        assert counted[10] > 0 and counted[0] > 0


def test_memory_is_read_in_pieces_of_bounded_size(tmp_path):
    """16 GiB of made-up flags: a byte a page stays, and a hundred GiB would take under a minute."""
    count = 1 << 22
    file = tmp_path / "kpageflags"
    flags = np.zeros(count, np.uint64)
    flags[::3] = 1 << 10
    flags[1::3] = 1 << 5 | 1 << 12
    flags.tofile(file)
    del flags
    began = time.process_time()
    found = pages.classes(file, 1, count)
    spent = time.process_time() - began
    tracemalloc.start()
    pages.classes(file, 1, count)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == count - 1
    assert found[2] == CLASSES.index("free_buddy") and found[0] == CLASSES.index("anon_lru")
    assert peak <= 2 * count + (16 << 20)
    assert spent < 60 * 16 / 100


def test_a_file_that_ends_early_means_no_pages(tmp_path):
    (tmp_path / "kpageflags").write_bytes(np.full(10, 1 << 10, np.uint64).tobytes())
    found = pages.classes(tmp_path / "kpageflags", 4, 20)
    assert (found[:6] == CLASSES.index("free_buddy")).all()
    assert (found[6:] == CLASSES.index("nopage")).all()
