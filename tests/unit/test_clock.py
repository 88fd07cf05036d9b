"""Where time goes: each second once, and by the right name."""

import threading
from dataclasses import replace

import pytest

from secretjax import admission, clock, engine, proposals, workloads
from secretjax.study import points
from tests.oracle import streams


class Time:
    """A clock that is told what it is."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch):
    found = Time()
    monkeypatch.setattr(clock, "time", found)
    clock.taken()
    return found


def test_what_is_within_counts_once(time):
    with clock.spent("rest"):
        time.now += 1
        with clock.spent("demand") as frame:
            time.now += 4
            with clock.spent("compile"):
                time.now += 8
            clock.add("compile", 1.5)
            frame[0] = "age"
        time.now += 16
    assert clock.taken() == {"rest": 17, "age": 2.5, "compile": 9.5}
    assert clock.taken() == {}


def test_what_somebody_else_timed_too_counts_once(time):
    with clock.spent("compile"), clock.spent("metrics"):
        time.now += 2
        clock.add("compile", 2.0)
    assert clock.taken() == {"compile": 0, "metrics": 2}


def test_what_fails_is_timed_too(time):
    with pytest.raises(ValueError), clock.spent("demand"):
        time.now += 3
        raise ValueError
    assert clock.taken() == {"demand": 3} and clock._open.frames == []


def test_a_simulation_tells_where_its_time_went():
    start = streams.make(1, pageblocks=32, requests=10, cma=0).start
    start = replace(start, zone={**start.zone, "managed": 14000})
    demand = workloads.make("growth", percents=(5,), churn_per_64_pages=4)
    points._listen()
    clock.taken()
    proposal, rule = proposals.make("per_page"), admission.make("none")
    engine.simulate([start], demand, proposal, rule, states=3, seed=1, ageing_events=500)
    found = clock.taken()
    assert found.keys() >= {"age", "demand", "metrics"}
    assert all(seconds > 0 for seconds in found.values())


def test_a_thread_is_not_within_what_another_times():
    def other():
        with clock.spent("theirs"):
            pass

    clock.taken()
    with clock.spent("mine") as frame:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert frame == ["mine", 0.0]
    assert set(clock.taken()) == {"mine", "theirs"}
