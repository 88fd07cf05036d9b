"""The map of physical memory counts what the metrics count, and a click says what is there."""

import base64

import numpy as np
import pytest
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from secretjax import engine
from secretjax.show import explorer, memory_film, memory_map, notebook
from secretjax.show.memory_map import FREE, IDLE, LISTED, MOVABLE, SECRET, STAYS, TABLE
from secretjax.study import points
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


def test_a_watched_state_is_that_of_the_study_and_the_map_counts_what_the_metrics_count(
    study, shown
):
    """`simulate` reads them off registers and commands; the map reads each page."""
    demand = next(d for d in study.params.demands if d.name == "growth")
    arm = study.params.arm("per_page")
    found = points.given(engine.simulate, study.params, arm, demand)(states=STATE + 1, lanes=8)
    zones = shown.known["per_page", STATE]
    assert tuple(zones) == found.steps
    of = lambda metric: found.values[metric][STATE]  # noqa: E731
    grids = [memory_map.pages(zone) for zone in zones.values()]
    counts = lambda kind: [int((grid == kind).sum()) for grid in grids]  # noqa: E731
    np.testing.assert_array_equal(counts(SECRET), of("secret_pages"))
    np.testing.assert_array_equal(counts(LISTED), of("pcp_pages"))
    np.testing.assert_array_equal(counts(FREE), of("free_pages"))
    assert max(counts(IDLE)) == 0 < counts(SECRET)[-2]
    used = [int(np.isin(grid, (MOVABLE, STAYS, SECRET, TABLE)).sum()) for grid in grids]
    np.testing.assert_array_equal(used, of("used_pages"))
    np.testing.assert_array_equal(np.diff(counts(TABLE)), np.diff(of("table_pages")))
    cut = [int(memory_map.split(zone).sum()) for zone in zones.values()]
    np.testing.assert_array_equal(np.diff(cut), np.diff(of("dm_2m_split")))


def test_the_film_shows_every_percent_and_moves_only_when_it_is_asked_for(study):
    told = study.memory_film("per_page", "keep_mapped", state=STATE)
    assert told.data.startswith("<details><summary>Play: ") and 'alt="secret memory' in told.data
    (file,) = study.run.figures_dir.glob("memory_film_*.gif")
    assert base64.b64encode(file.read_bytes()).decode() in told.data
    most = max(study.params.demands[0].options["percents"])
    with Image.open(file) as film:
        assert isinstance(film, GifImageFile)
        seen = []
        for frame in range(film.n_frames):
            film.seek(frame)
            seen.append((film.convert("RGB").tobytes(), film.info["duration"]))
    assert most < len({pixels for pixels, _ in seen}) <= most + 2, "start, each percent, released"
    assert sum(ms for _, ms in seen) == 200 * (most + 2 + memory_film.LAST)
    assert study.memory_film("per_page", "keep_mapped", state=STATE).data == told.data
    assert "no arm" in study.memory_film("nothing").data
