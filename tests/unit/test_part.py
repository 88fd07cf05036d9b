"""A zone that is too large to be modelled: a part of it stands for the whole."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from secretjax.cases import CLASSES, archive
from secretjax.engine import generator
from secretjax.errors import UserError
from secretjax.machine import consistency, forecast, lab, part
from secretjax.mm.layout import MAX_PAGES
from secretjax.mm.load import zone_pages
from secretjax.show import yours
from tests import expect, fake_run

KERNEL = Path(__file__).parents[2] / "params" / "kernel"
GIB = 1 << 18


@pytest.fixture(scope="module")
def machine():
    """Six GiB, each like a lab machine of 1 GiB, but that the last two are in use by users."""
    seen = lab.shown(expect.start(KERNEL / "a_1024_s7.predict.npz"))
    zone = seen.zones[0]
    gib = np.full(GIB, CLASSES.index("reserved"), np.uint8)
    gib[zone.fields["start_pfn"] : zone.fields["end_pfn"]] = expect.there(zone.page_class)
    used = np.full(2 * GIB, CLASSES.index("anon_lru"), np.uint8)
    blocks = 4 * expect.there(zone.type_blocks)
    blocks[1] += 2 * 512
    large = replace(
        zone,
        fields=zone.fields | {"start_pfn": 4 * GIB, "end_pfn": 10 * GIB, "managed": 6 * GIB},
        page_class=np.concatenate([gib] * 4 + [used]),
        present=6 * GIB,
        type_free=4 * expect.there(zone.type_free),
        type_blocks=blocks,
    )
    entries = {"4k": 4 * seen.direct_map["4k"], "2M": 6 * 512 - 4, "1G": 0}
    return replace(seen, zones=(large,), direct_map=entries)


@pytest.fixture
def narrow(monkeypatch):
    """Three of the six GiB can be modelled."""
    monkeypatch.setattr(part, "GIBS", 3)
    monkeypatch.setattr(part, "MAX_PAGES", 4 * GIB + 1)


def test_thirty_gib_are_the_most_that_is_modelled_whole(machine):
    zone = machine.zones[0]
    for gibs, large in ((6, False), (30, False), (31, True), (500, True)):
        end = {"end_pfn": (4 + gibs) * GIB}
        assert part.too_large(replace(zone, fields=zone.fields | end)) == large
    assert part.GIBS == 30 and (part.GIBS + 1) * GIB <= MAX_PAGES
    assert part.share(zone) == 1 and not part.note(zone)


def test_a_part_shows_the_whole_in_proportion(machine, narrow):
    zone = machine.zones[0]
    seen, small = part.of(generator(1, 0), machine, zone)
    assert part.share(zone) == Fraction(1, 2)
    classes = expect.there(small.page_class)
    assert small.fields["start_pfn"] == GIB and len(classes) == 3 * GIB
    np.testing.assert_array_equal(2 * expect.there(small.type_free), zone.type_free)
    np.testing.assert_array_equal(2 * expect.there(small.type_blocks), zone.type_blocks)
    for name in ("managed", "min", "low", "high"):
        assert abs(2 * small.fields[name] - zone.fields[name]) <= 1
    assert abs(2 * seen.direct_map["2M"] - machine.direct_map["2M"]) <= 1
    assert consistency.disagreements(replace(seen, counters={})) == []
    # evenly among GiBs by what the kernel has there: of four and two alike, two and one
    used = (classes.reshape(3, GIB) == CLASSES.index("anon_lru")).all(1)
    assert used.sum() == 1


def test_each_state_draws_another_part(machine, narrow):
    drawn = [part.chosen(generator(1, k), machine.zones[0]).tolist() for k in range(8)]
    assert len({tuple(d) for d in drawn}) > 3
    assert all(len(set(d)) == 3 and d == sorted(d) for d in drawn)
    assert part.chosen(generator(1, 3), machine.zones[0]).tolist() == drawn[3]


def test_entries_of_1_gib_are_in_proportion_however_often_they_were_counted(machine, narrow):
    seen = replace(machine, direct_map={"4k": 0, "2M": 1024, "1G": 6})  # 2 of them again, at boot
    seen = replace(seen, counters={"direct_map_level3_splits": 2, "nr_free_pages": 7})
    small, _ = part.of(generator(1, 0), seen, seen.zones[0])
    assert small.direct_map == {"4k": 0, "2M": 512, "1G": 2}
    assert small.counters == {"direct_map_level3_splits": 1, "nr_free_pages": 7}


def test_whole_numbers_are_dealt_out_in_proportion():
    assert part.dealt(10, np.array([1, 1, 1])).tolist() == [4, 3, 3]
    assert part.dealt(3, np.array([0, 5, 0])).tolist() == [0, 3, 0]
    assert part.dealt(4, np.array([0, 0])).tolist() == [0, 0]


def test_what_a_part_did_is_scaled_to_the_whole():
    values = {
        "granted": np.array([[100, 380]]), "dm_2m_split": np.array([[3, 9]]),
        "huge_ok": np.array([[8, 5]]),
    }  # fmt: skip
    asked, third = np.array([300, 1200]), Fraction(1, 3)
    assert part.demanded(asked, third).tolist() == [100, 400]
    found = part.whole(values, asked, third)
    assert found["granted"].tolist() == [[300, 1200 - 60]]
    assert found["dm_2m_split"].tolist() == [[9, 27]] and found["huge_ok"].tolist() == [[8, 5]]
    assert part.whole(values, asked, Fraction(1)) is values


def test_a_large_zone_is_forecast_and_the_answer_says_so(machine, narrow):
    """Four GiB like a lab machine split four times what that does for a quarter of the demand."""
    found = forecast.forecast(machine, states=4, names=["per_page"], pages={"64 MiB": 16384})
    values = found.values["per_page"]
    assert (values["granted"] == 16384).all()
    single = lab.shown(expect.start(KERNEL / "a_1024_s7.predict.npz"))
    quarter = forecast.forecast(single, states=4, names=["per_page"], pages={"16 MiB": 4096})
    expected = 4 * quarter.values["per_page"]["dm_2m_split"].mean()
    assert abs(values["dm_2m_split"].mean() / expected - 1) < 0.1
    assert "3 of its 6 GiB" in found.note and "3 of its 6 GiB" in yours.answers(found)[0]
    assert "GiB" not in yours.answers(fake_run.forecast(machine))[0]


def test_a_large_zone_without_root_is_one_sentence(machine, narrow):
    blind = replace(machine.zones[0], page_class=None)
    with pytest.raises(UserError, match="capture as root"):
        forecast.forecast(replace(machine, zones=(blind,)), states=1)


def test_the_largest_zone_of_a_case_is_the_largest_that_has_rows():
    assert zone_pages(archive.MOST_PAGES) <= MAX_PAGES < zone_pages(archive.MOST_PAGES + 1)
