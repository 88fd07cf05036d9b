"""The bench: its zones and requests are sound, its sides do the same work, its report is drawn."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secretjax.bench import figures, numba_buddy, peer, report, sides, streams
from secretjax.errors import UserError
from tests import expect

FOLDER = Path(__file__).parents[2] / "params" / "kernel"
PAGES = 1 << 14
compiled = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler on this machine")


@pytest.fixture(scope="module")
def start():
    return streams.start(PAGES)


@pytest.fixture(scope="module")
def asked(start):
    return report.asked(start, 3, 512)


def test_the_start_is_whole(start):
    free = start.free_pages()
    assert 0.1 < free.mean() < 0.4
    names = np.array(start.page_classes)[start.page_class]
    np.testing.assert_array_equal(free, names == "free_buddy")
    assert (start.list_pfn % (1 << start.list_order) == 0).all()
    again = streams.start(PAGES)
    np.testing.assert_array_equal(start.list_pfn, again.list_pfn)


def test_no_request_gives_back_what_is_not_there(start):
    rows, held = streams.requests(start, 4096, 5), {}
    free, given = start.free_pages(), set()
    for op, order, _, handle, extra in rows.tolist():
        if op == 0:
            held[handle] = order
        elif handle >= 0:
            assert held.pop(handle) == order and extra == 0
        else:
            assert not free[extra] and extra not in given
            given.add(extra)
    assert not np.array_equal(rows, streams.requests(start, 4096, 6))


@compiled
def test_all_sides_end_with_the_same_lists(start, asked):
    given = [kind(start, asked, 2) for kind in sides.SIDES]
    for side in given:
        for _ in range(2):
            side.reset()
            side.run()
    report.check(given)
    digests = [sides.digest(side) for side in given]
    assert len(set(filter(None, digests))) == 1 and digests.count(None) == 1
    given[2].asked = np.ascontiguousarray(asked[:, :-1])
    given[2].reset()
    given[2].run()
    with pytest.raises(UserError, match="end with different lists"):
        report.check(given)


@pytest.mark.parametrize("name", ["f_steal_s1", "f_secretfrag_s1"])
def test_numba_answers_as_the_kernel_did(name):
    case = expect.replay(FOLDER / f"{name}.replay.npz")
    asked = case.requests[case.requests[:, 0] != 2][None]
    side = sides.Numba(case.start, asked, 1)
    side.reset()
    side.run()
    with np.load(FOLDER / f"{name}.replay.expected.npz", allow_pickle=False) as kernel:
        np.testing.assert_array_equal(side.pfn[0], kernel["request_pfn"])
    assert numba_buddy.TYPES == peer.TYPES


@compiled
def test_the_report_is_measured_and_drawn(tmp_path, monkeypatch):
    small = {"EVENTS": 64, "BLOCK": 2, "PAGES": PAGES, "STATES": 2, "STATE_COUNTS": (2, 4)}
    small |= {"PAGE_COUNTS": (PAGES, 2 * PAGES), "TRIAD": 1 << 10, "LEAST": 0.0}
    for name, value in small.items():
        monkeypatch.setattr(report, name, value)
    monkeypatch.setattr(report, "compile_times", lambda: {k.name: 1.5 for k in sides.SIDES})
    report.report(tmp_path, 2)
    found = json.loads((tmp_path / "report.json").read_text())
    told = {row["figure"]: len(row["rates"]) for row in found["rows"]}
    assert told == {"cores": 2, "states": 2, "pages": 2}
    assert {row["side"] for row in found["rows"]} == set(figures.LOOKS)
    assert all(rate > 0 for row in found["rows"] for rate in row["rates"] + row["cpu_rates"])
    assert found["machine"]["cpu"] and found["triad_gb_s"]["1"] > 0
    for name in figures.FIGURES:
        assert (tmp_path / f"{name}.svg").stat().st_size > 5000


def test_other_rules_and_a_missing_compiler_are_one_sentence(start, monkeypatch):
    with pytest.raises(UserError, match="K612y, not K511"):
        peer.Peer(replace(start, settings=start.settings | {"fallback": "K511"}))
    peer.library.cache_clear()
    monkeypatch.setattr(peer.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="no C compiler"):
        peer.library()
    peer.library.cache_clear()


def test_the_committed_report_is_drawn_for_the_site(tmp_path):
    path = Path(__file__).parents[2] / "results" / "published" / "bench" / "report.json"
    found = json.loads(path.read_text())
    assert [figures.about(name) for name in figures.draw(found, tmp_path)]
    rows = list(figures.rows(found))
    assert {row[0] for row in rows} == {"cores", "states", "pages"}
    assert {row[1] for row in rows} == set(figures.LOOKS)
    pages = {row["pages"] for row in found["rows"] if row["figure"] == "pages"}
    assert {1 << 17, 1 << 22} <= pages
