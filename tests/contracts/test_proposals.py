"""What every proposal must keep, under every admission rule that fits it and every demand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import admission, engine, proposals, workloads
from secretjax.errors import UserError
from secretjax.mm.state import Op
from secretjax.mm.validate import validate
from secretjax.proposals.base import Ask, Own, Result, When
from tests.oracle import streams

STATES = 4
FILES = 100
OPTIONS = {
    "growth": {"percents": (5, 15, 40), "churn_per_64_pages": 8, "huge_pages": 4},
    "small_files": {"files": FILES, "churn_per_64_files": 8, "huge_pages": 4},
    "adversary": {
        "processes": 3,
        "percent_each": 12,
        "files_each": 3,
        "victim_percent": 10,
        "churn_per_64_pages": 4,
    },
    "tenants": {"files": 24, "pages": 100, "long": 8, "churn_per_64_pages": 4},
    "guests": {"percents": (4, 8), "percent_each": 2, "turnover": 1, "huge_pages": 4},
    "microvms": {"vms": 24, "permille_each": 10, "life": 12},
}
DEMANDS = {name: OPTIONS.get(name, {}) for name in workloads.names()}
PAIRS = [
    (p, a)
    for p in proposals.names()
    for a in admission.names()
    if admission.make(a).fits(proposals.make(p))
]
# An adversary comes to all; time allows the rest of the demands to some
ARMS = [
    (p, a, d)
    for p, a in PAIRS
    for d in DEMANDS
    if d == "adversary"
    or (
        a in ("none", "reservation")
        and (d in ("growth", "small_files") or p in ("per_page", "pmd_pool"))
    )
]
_ran: dict = {}


def keeps(proposal) -> bool:
    """Whether its pool keeps idle pageblocks."""
    return getattr(proposals.make(proposal), "keep_idle", False)


def machines():
    """Small aged zones of the same size."""
    made = [streams.make(seed, pageblocks=32, requests=10, cma=0).start for seed in (1, 2)]
    return [engine.replace(m, zone={**m.zone, "managed": 16000}) for m in made]


def run(proposal, rule, demand, **options):
    """Outcome, and what `validate` says at each measuring point."""
    key = (proposal, rule, demand, *sorted(options.items()))
    if key not in _ran:
        made = workloads.make(demand, **DEMANDS[demand])
        arms = proposals.make(proposal), admission.make(rule)
        more = {"states": STATES, "seed": 5, "ageing_events": 300} | options
        _ran[key] = looked_at(lambda: engine.simulate(machines(), made, *arms, **more))
    return _ran[key]


def looked_at(simulate):
    """What it returns, and what `validate` says of every zone at each measuring point."""
    wrong, check = [], engine.check_faults

    def look(zones, numbers, *rest):
        pages, found = engine.pages_of(zones), jax.tree.map(np.asarray, zones)
        for lane in range(len(numbers)):
            wrong.extend(validate(jax.tree.map(lambda x, k=lane: x[k], found), pages))
        check(zones, numbers, *rest)

    engine.check_faults = look
    try:
        return simulate(), wrong
    finally:
        engine.check_faults = check


@pytest.mark.parametrize("proposal, rule, demand", ARMS)
class TestEveryArm:
    def test_memory_stays_sound_at_every_measuring_point(self, proposal, rule, demand):
        assert run(proposal, rule, demand)[1] == []

    def test_every_page_asked_for_is_granted_or_refused(self, proposal, rule, demand):
        out, _ = run(proposal, rule, demand)
        value = out.values
        answered = value["granted"] + value["refused"]
        if demand == "tenants":  # each state draws its own files
            mapped = run("keep_mapped", "none", demand)[0].values
            total = (mapped["granted"] + mapped["refused"])[:, -1]
        else:
            total = workloads.make(demand, **DEMANDS[demand]).secret(16000)
        assert (answered[:, -1] == total).all()
        assert value["granted"][:, 1].max() > 0

    def test_secret_pages_are_absent_from_the_direct_map_and_come_back(
        self, proposal, rule, demand
    ):
        value = run(proposal, rule, demand)[0].values
        hides = proposals.table()[proposal].hides
        hidden = hides * (value["secret_pages"] + value["stranded_pages"])
        np.testing.assert_array_equal(value["nonpresent"], hidden + 0 * value["nonpresent"])
        if not keeps(proposal):
            assert (value["nonpresent"][:, -1] == 0).all()

    def test_everything_is_given_back_at_the_end(self, proposal, rule, demand):
        value = run(proposal, rule, demand)[0].values
        idle = () if keeps(proposal) else ("pool_pages", "stranded_pages")
        for name in ("secret_pages", "secret_blocks", *idle):
            assert (value[name][:, -1] == 0).all(), name
        np.testing.assert_array_equal(value["pool_pages"][:, -1], value["stranded_pages"][:, -1])

    def test_no_page_is_lost(self, proposal, rule, demand):
        value = run(proposal, rule, demand)[0].values
        free = value["free_pages"] + value["pcp_pages"]
        every = free + value["used_pages"] + value["stranded_pages"]
        shared = rule == "reservation" or getattr(proposals.make(proposal), "shared", False)
        idle_in_use = 0 if shared else value["stranded_pages"]
        assert np.ptp(every - idle_in_use, axis=1).max() == 0

    def test_no_count_is_negative(self, proposal, rule, demand):
        value = run(proposal, rule, demand)[0].values
        # an index of -1000: an allocation would succeed; drained: those that others gave back
        may = {"fragmentation_index_9", "drained_2m"}
        assert {name for name, counted in value.items() if counted.min() < 0} <= may

    def test_tables_are_paid_for_each_split(self, proposal, rule, demand):
        value = run(proposal, rule, demand)[0].values
        assert (value["table_pages"] == value["dm_2m_split"] + value["dm_1g_split"]).all()
        assert (value["dm_4k_pages"] == 512 * (value["dm_2m_split"])).all()


@pytest.mark.parametrize("proposal, rule", [("migratable", "none"), ("cma_pool", "reservation")])
def test_the_batch_does_not_matter(proposal, rule):
    whole, _ = run(proposal, rule, "growth")
    parts, _ = run(proposal, rule, "growth", lanes=1)
    np.testing.assert_array_equal(whole.digests, parts.digests)
    for name in whole.values:
        np.testing.assert_array_equal(whole.values[name], parts.values[name])


def test_states_of_a_batch_differ():
    out, _ = run("per_page", "none", "growth")
    assert len({d.tobytes() for d in out.digests}) == STATES


def test_another_seed_gives_other_states():
    one, _ = run("per_page", "none", "growth")
    other, _ = run("per_page", "none", "growth", seed=6)
    assert not (one.digests == other.digests).all()


def test_names_files_and_slots_agree():
    for table in (proposals.table(), admission.table(), workloads.table()):
        assert all(cls.name == file for file, cls in table.items())
        slots = [cls.slot for cls in table.values()]
        assert len(set(slots)) == len(slots)
        for cls in table.values():
            assert cls.source and cls.label and cls.__doc__


def test_a_reservation_needs_a_pool():
    demand = workloads.make("growth")
    with pytest.raises(UserError, match="has no pool"):
        engine.simulate(
            machines(),
            demand,
            proposals.make("per_page"),
            admission.make("reservation"),
            states=1,
            seed=0,
        )


def test_a_reservation_refuses_at_mmap_and_never_at_the_fault():
    for pool in ("pmd_pool", "cma_pool"):
        value = run(pool, "reservation", "growth")[0].values
        assert (value["refused_fault"] == 0).all()
        assert (value["refused_mmap"][:, -1] > 0).all()


def test_without_an_area_every_open_is_refused_and_nothing_is_done():
    demand = workloads.make("growth", **DEMANDS["growth"])
    asked = run("per_page", "none", "growth")[0].values
    for rule in ("none", "reservation"):
        arm = proposals.make("cma_pool", area_percent=0, shared=True), admission.make(rule)
        how = {"states": STATES, "seed": 5, "ageing_events": 300}
        value = engine.simulate(machines(), demand, *arm, **how).values
        assert (value["refused_open"] == asked["granted"] + asked["refused"]).all()
        for nothing in ("granted", "refused_mmap", "refused_fault", "taken", "unmap_call"):
            assert (value[nothing] == 0).all(), nothing


def test_a_private_pool_strands_almost_a_pageblock_a_file():
    private = run("pmd_pool", "none", "small_files")[0].values
    shared = run("pmd_pool", "reservation", "small_files")[0].values
    held, idle = private["pool_pages"][:, 1], private["stranded_pages"][:, 1]
    assert (held > 0).any(), "no state had a pageblock for the pool: this test looks at nothing"
    assert (idle >= held * 0.99).all()
    assert shared["stranded_pages"].max() < 512


def fault(pool, own, first):
    """Commands, registers and result of a page fault when there is no pageblock to be had."""
    ask, asked = Ask(*map(jnp.int32, (When.FAULT, 7, first, 0))), []
    while True:
        command = pool.command(own, ask)
        asked.append((int(command.op), int(command.order)))
        turn = pool.advance(own, ask, jnp.int32(-1 if asked[-1] == (Op.GET, 9) else 4096))
        if turn.result != Result.ON:
            return asked, turn.own._replace(stage=jnp.int32(0)), int(turn.result)
        own = turn.own


def test_a_file_that_begins_with_a_single_page_takes_none_of_another_files():
    pool = proposals.make("pmd_pool")
    left = {"chunk": 5120, "room": 300, "pool": 512, "held": 212}  # by the file before
    own = Own(*(jnp.int32(left.get(name, 0)) for name in Own._fields))
    assert fault(pool, own, 0)[0] == [(Op.NOTE, 0)]  # that file itself goes on in its pageblock
    single = [(Op.GET, 9), (Op.GET, 0), (Op.UNMAP, 0)]
    for first in (1, 0, 0):
        asked, own, result = fault(pool, own, first)
        assert asked == single and result == Result.SINGLE
