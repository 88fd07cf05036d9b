"""The map of physical memory counts what the metrics count, and a click says what is there."""

import numpy as np
import pytest

from secretjax.mm.layout import Use
from secretjax.show import explorer, memory_map, notebook
from secretjax.show.memory_map import FREE, IDLE, LISTED, MOVABLE, SECRET, TABLE
from tests import fake_run

pytestmark = pytest.mark.slow
STATE = 2


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return notebook.open(
        *fake_run.make(tmp_path_factory.mktemp("run"), fake_run.REAL, with_kernel=False)
    )


@pytest.fixture(scope="module")
def shown(study):
    return explorer.Explorer(study, "growth", "per_page", STATE)


def test_the_map_counts_what_the_zone_counts(shown):
    for zone in shown.known["per_page", STATE].values():
        grid = memory_map.pages(zone)
        now = zone.now
        count = lambda kind, grid=grid: int((grid == kind).sum())  # noqa: E731
        assert count(FREE) == int(now.free)
        assert count(IDLE) == 0
        row = np.asarray(zone.link[: 2 * grid.size : 2])
        singles = (row >> 23) == 0  # in use, of order 0
        assert count(SECRET) == int((singles & ((row & Use.SECRET) != 0)).sum())
        assert count(TABLE) == int((singles & ((row & Use.TABLE) != 0)).sum())
        assert count(MOVABLE) > 0 and count(LISTED) >= 0
    points = [
        int((memory_map.pages(z) == SECRET).sum()) for z in shown.known["per_page", 2].values()
    ]
    assert points[0] == points[-1] == 0 and points[1] < points[2] < points[3] < points[4]


def test_moving_the_slider_changes_the_numbers_and_the_map(shown):
    assert shown.arm.options == tuple(arm.name for arm in shown.study.arms)
    shown.point.value = "start"
    before, pixels = dict(shown.numbers), shown.map.pages
    assert before["secret"] == 0
    shown.point.value = "grow_10"
    assert shown.numbers["secret"] > 0 and shown.map.pages != pixels
    assert sum(shown.numbers.values()) == sum(before.values()) == len(pixels)


def test_a_click_says_which_page_frame_it_is(shown):
    shown.point.value = "grow_10"
    grid = memory_map.pages(shown.zone)
    page = int(np.flatnonzero(grid.ravel() == SECRET)[5])
    shown.map.picked = page
    cut = bool(memory_map.split(shown.zone)[page >> 9])
    assert shown.picked == {"pfn": page, "pageblock": page >> 9, "is": "secret", "split": cut}
    assert cut and f"pfn {page:,}" in shown.said.value
    shown.map.picked = -1
    assert shown.picked == {}


def test_a_watched_state_is_that_of_the_study(study, shown):
    """The same state by `simulate` has the same metrics at the same points."""
    from secretjax import cases, engine
    from secretjax.study import plugins

    starts = [cases.read(path).start for path in study.params.start_files().values()]
    demand = next(d for d in study.params.demands if d.name == "growth")
    made = (
        plugins.make("workload", demand.kind, demand.options),
        plugins.make("proposal", "per_page", {}),
        plugins.make("admission", "none", {}),
    )
    found = engine.simulate(
        starts, *made, states=STATE + 1, seed=study.params.seed, ageing_events=0, lanes=8
    )
    splits = found.values["dm_2m_split"][STATE]
    zones = shown.known["per_page", STATE]
    cut = [int(memory_map.split(zones[step]).sum()) for step in found.steps]
    np.testing.assert_array_equal(np.array(cut) - cut[0], splits - splits[0])
