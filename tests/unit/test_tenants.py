"""Admission rules and demands of several tenants, against what the sources say they do."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import admission, engine, proposals, workloads
from secretjax.admission.base import Request
from secretjax.errors import UserError
from secretjax.ledger import PROCESSES, Counts
from secretjax.workloads._files import laid_out
from secretjax.workloads.base import Churn, Pages, Script
from tests.oracle import streams

TOTAL = 16000
LIMIT = 100  # pages
_ran: dict = {}


def counted(*counts):
    """Counts that begin with these."""
    return Counts(*(jnp.int32(n) for n in (*counts, *[0] * 7)[:7]))


def request(rule, rows, process, pages=1, charged=1, **pool):
    """rows: {process: (user, held, mapped, charged)}; pool: its `pool`, `reserved`, `promised`."""
    user, *mine = rows.get(process, (process, 0, 0, 0))
    users = [sum(his) for his in zip(*(c for u, *c in rows.values() if u == user), strict=True)]
    given = dict.fromkeys(("pool", "reserved", "promised"), 0) | pool
    given |= {"pages": pages, "charged": charged}
    given |= {"held": sum(row[1] for row in rows.values())}
    numbers = {name: jnp.int32(n) for name, n in given.items()}
    counts = {"mine": counted(*mine), "users": counted(*users)}
    return Request(limits=rule.limits(TOTAL, len(rows)), **counts, **numbers)


def maps(rule, *asked, **pool):
    return rule.program().maps(request(rule, *asked, **pool))


def charges(rule, *asked, **pool):
    return rule.program().charges(request(rule, *asked, **pool))


def more(rule, *asked, **pool):
    return rule.program().more(request(rule, *asked, **pool))


def owes(rule, *asked, **pool):
    return rule.program().owes(request(rule, *asked, **pool))


class TestRules:
    def test_memlock_mm_counts_the_mapped_pages_of_one_process(self):
        rule = admission.make("memlock_mm", limit_kib=4 * LIMIT)
        rows = {0: (0, 30, 20, 0), 1: (0, 90, 0, 0)}
        assert maps(rule, rows, 0, 50) and not maps(rule, rows, 0, 51)
        assert maps(rule, rows, 1, 10) and not maps(rule, rows, 1, 11)
        assert maps(rule, rows, 2, LIMIT) and not maps(rule, rows, 2, LIMIT + 1)
        assert charges(rule, {0: (0, LIMIT, 50, 0)}, 0), "a fault checks nothing"

    def test_memlock_user_counts_the_touched_pages_of_all_his_processes(self):
        rule = admission.make("memlock_user", limit_kib=4 * LIMIT)
        rows = {0: (3, 40, 999, 0), 1: (3, 59, 0, 0), 2: (4, LIMIT, 0, 0)}
        assert charges(rule, rows, 0) and charges(rule, rows, 1)
        assert not charges(rule, rows | {1: (3, 60, 0, 0)}, 0)
        assert not charges(rule, rows, 2)
        assert maps(rule, rows, 2, 10 * LIMIT), "mmap checks nothing"

    def test_memcg_charges_pages_or_whole_pageblocks(self):
        limit = TOTAL * 10 // 100
        by_page = admission.make("memcg", limit_percent=10)
        by_block = admission.make("memcg", limit_percent=10, chunks=True)
        rows = {0: (1, 3, 0, limit - 512)}
        assert charges(by_block, rows, 0, charged=512)
        rows = {0: (1, 3, 0, limit - 511)}
        assert not charges(by_block, rows, 0, charged=512)
        assert charges(by_block, rows, 0), "a page without a pool is charged by itself"
        assert charges(by_page, rows, 0, charged=512)
        rows = {0: (1, 3, 0, limit)}
        assert charges(by_block, rows, 0, charged=0), "its pageblock is charged already"
        assert not charges(by_block, rows, 0)
        assert charges(by_page, {0: (1, limit - 1, 0, 0)}, 0)
        assert not charges(by_page, {0: (1, limit, 0, 0)}, 0)

    def test_a_mount_has_a_minimum_and_a_maximum(self):
        rule = admission.make("reservation", max_percent=10, least_percent=1, most_percent=2)
        least, most, whole = TOTAL // 100, TOTAL * 2 // 100, TOTAL * 10 // 100
        assert rule.fill(TOTAL, 3) == 3 * least
        assert rule.fill(TOTAL, 11) == 0, "more than the pool may have: no mount has a minimum"
        assert rule.owed(*map(jnp.int32, (0, 0, least))) == least
        assert rule.owed(*map(jnp.int32, (30, 20, least))) == least - 30
        assert rule.owed(*map(jnp.int32, (least, 20, least))) == 20
        mine = {0: (0, 30, 20, 0)}
        assert more(rule, mine, 0, 10, promised=least) == 0, "of the mount's own promise"
        assert more(rule, mine, 0, least, promised=least) == 50
        others = {1: (1, whole - least, 0, 0)}
        last = {"promised": least, "reserved": least}
        assert maps(rule, others, 0, least, **last)
        assert not maps(rule, others, 0, least + 1, **last)
        assert maps(rule, {}, 0, most, promised=least, reserved=least)
        assert not maps(rule, {}, 0, most + 1, promised=least, reserved=least)

    def test_without_reserve_a_fault_takes_what_nobody_was_promised(self):
        rule = admission.make("reservation", max_percent=10, noreserve=True, least_percent=1)
        whole = TOTAL * 10 // 100 // 512 * 512
        rows = {0: (0, 200, 0, 0), 1: (1, whole - 300, 0, 0)}
        full = {"pool": whole, "promised": 160}
        assert maps(rule, rows, 0, 10 * TOTAL, **full), "mmap promises nothing"
        assert charges(rule, rows, 0, reserved=99, **full)
        assert not charges(rule, rows, 0, reserved=100, **full)
        assert charges(rule, rows, 2, reserved=100, **full), "his own minimum"
        assert charges(rule, rows, 0, reserved=100, pool=whole - 512, promised=160)
        promised = admission.make("reservation", max_percent=10)
        assert charges(promised, rows, 0, reserved=100, **full)
        assert owes(promised, {0: (0, 0, 1, 0)}, 0)
        assert not owes(promised, {0: (0, 1, 0, 0)}, 0)

    def test_users_do_not_share_a_limit(self):
        for name in ("memlock_user", "memcg"):
            rule = admission.make(name)
            assert charges(rule, {0: (0, TOTAL, 0, TOTAL), 5: (5, 0, 0, 0)}, 5)


def roomy():
    """Two zones with as much free memory as a state can have."""
    made = [streams.make(seed, pageblocks=32, requests=0, cma=0).start for seed in (1, 2)]
    return [engine.replace(m, zone={**m.zone, "managed": TOTAL}) for m in made]


def run(demand, rule="none", proposal="per_page", **options):
    key = (proposal, rule, demand, *sorted(options.items()))
    if key not in _ran:
        cls = admission.table()[rule]
        own = {k: v for k, v in options.items() if k in cls.__dataclass_fields__}
        rest = {k: v for k, v in options.items() if k not in own}
        _ran[key] = engine.simulate(
            roomy(),
            workloads.make(demand, churn_per_64_pages=4, **rest),
            proposals.make(proposal),
            admission.make(rule, **own),
            states=4,
            seed=3,
        )
    return _ran[key]


ATTACK: dict[str, Any] = {"processes": 4, "percent_each": 1, "files_each": 4, "victim_percent": 1}
EACH, ASKED = TOTAL // 100 // 4 * 4, TOTAL // 100


def at(out, metric, step):
    return out.values[metric][:, out.steps.index(step)]


class TestAdversary:
    def test_without_a_rule_everybody_gets_what_there_is(self):
        out = run("adversary", **ATTACK)
        assert (at(out, "granted", "asked") == 4 * EACH + ASKED).all()
        assert (at(out, "density", "asked") == 17).all()
        assert (at(out, "victim_failed", "asked") == 0).all()

    def test_n_processes_get_n_limits_of_an_mm(self):
        out = run("adversary", "memlock_mm", limit_kib=2 * EACH, **ATTACK)
        assert (at(out, "granted", "attacked") == 4 * EACH // 2).all()
        assert (at(out, "refused_mmap", "attacked") == 4 * EACH // 2).all()
        assert (at(out, "refused_fault", "asked") == 0).all()
        assert (at(out, "density", "attacked") == 2).all(), "the third file of the first process"

    def test_n_processes_share_the_limit_of_their_user(self):
        out = run("adversary", "memlock_user", limit_kib=2 * EACH, **ATTACK)
        assert (at(out, "granted", "attacked") == EACH // 2).all()
        assert (at(out, "refused_fault", "attacked") == 4 * EACH - EACH // 2).all()
        assert (at(out, "victim_refused", "asked") == ASKED - EACH // 2).all()
        assert (at(out, "refused_mmap", "asked") == 0).all()
        assert (at(out, "oom_kills", "asked") == 0).all()
        assert (at(out, "fairness", "asked") == 1000).all()

    def test_n_users_get_n_limits_of_a_user(self):
        out = run("adversary", "memlock_user", limit_kib=2 * EACH, users=True, **ATTACK)
        assert (at(out, "granted", "attacked") == 4 * EACH // 2).all()

    def test_idle_files_count_for_an_mm_and_not_for_a_user(self):
        mm = run("adversary", "memlock_mm", limit_kib=2 * EACH, idle=True, **ATTACK)
        user = run("adversary", "memlock_user", limit_kib=4 * ASKED, idle=True, **ATTACK)
        assert (at(mm, "refused_mmap", "attacked") == 4 * EACH // 2).all()
        assert (at(user, "refused", "asked") == 0).all()

    def test_a_cgroup_kills_its_largest_process_and_all_its_files_go(self):
        out = run("adversary", "memcg", limit_percent=2, **ATTACK)
        limit = TOTAL * 2 // 100
        assert limit == 2 * EACH, "two processes fill it; the first goes for the third, and so on"
        assert (at(out, "oom_kills", "attacked") == 2).all()
        assert (at(out, "oom_fault", "attacked") == 2).all()
        assert (at(out, "granted", "attacked") == 4 * EACH).all()
        assert (at(out, "secret_pages", "attacked") == limit).all()
        assert (at(out, "refused", "asked") == 0).all(), "the victim has a cgroup of its own"

    def test_without_a_pool_chunks_are_pages(self):
        chunks, pages = (
            run("adversary", "memcg", limit_percent=2, chunks=chunks, **ATTACK)
            for chunks in (True, False)
        )
        np.testing.assert_array_equal(chunks.digests, pages.digests)

    @pytest.mark.parametrize("proposal", ["per_page", "pmd_pool"])
    def test_who_is_the_largest_itself_asks_no_more(self, proposal):
        alone = ATTACK | {"processes": 1, "percent_each": 4}
        out = run("adversary", "memcg", proposal, limit_percent=2, **alone)
        file = EACH
        assert (at(out, "oom_kills", "attacked") == 1).all()
        assert (at(out, "granted", "attacked") == 2 * file).all()
        assert (at(out, "refused_fault", "attacked") == file).all(), "the file that it had mapped"
        assert (at(out, "refused_mmap", "attacked") == file).all(), "and the one after"
        assert (at(out, "secret_pages", "attacked") == 0).all()
        assert (at(out, "nonpresent", "attacked") == 0).all()

    def test_a_killer_leaves_the_open_file_of_another_its_pageblock(self):
        options = {"processes": 3, "percent_each": 4, "files_each": 2, "victim_percent": 1}
        out = run("adversary", "memcg", "pmd_pool", limit_percent=6, **options)
        each = TOTAL * 4 // 100 // 2 * 2
        roomy = at(out, "refused", "attacked") == 0
        assert roomy.any(), "no state had pageblocks for all"
        assert (at(out, "oom_kills", "attacked")[roomy] == 2).all()
        assert (at(out, "secret_pages", "attacked")[roomy] == each).all()
        assert (at(out, "pool_pages", "attacked")[roomy] == 512 * 2).all(), "one for each file"
        assert (at(out, "secret_pages", "released") == 0).all()

    def test_v16_charges_pageblocks(self):
        by_page = run("adversary", "memcg", "pmd_pool", limit_percent=10, **ATTACK)
        by_block = run("adversary", "memcg", "pmd_pool", limit_percent=10, chunks=True, **ATTACK)
        assert (at(by_page, "oom_kills", "attacked") == 0).all()
        three = TOTAL * 10 // 100 // 512  # pageblocks, one for each file
        assert three == 3
        assert at(by_block, "oom_kills", "attacked").max() > 0, "no state had pageblocks for all"
        assert (at(by_block, "pool_pages", "attacked") <= 512 * three).all()

    def test_a_reservation_is_stranded_by_who_never_touches(self):
        options = ATTACK | {"max_percent": 3, "idle": True}
        out = run("adversary", "reservation", "pmd_pool", **options)
        most = TOTAL * 3 // 100
        promised = most // (EACH // 4) * (EACH // 4)
        assert (at(out, "promised_pages", "attacked") == promised).all()
        assert (at(out, "granted", "asked") == 0).all()
        assert (at(out, "victim_refused", "asked") == ASKED).all()
        assert (at(out, "refused_fault", "asked") == 0).all()
        assert (at(out, "promised_pages", "released") == 0).all(), "untouched promises end too"
        assert (at(out, "pool_pages", "released") == 0).all()

    def test_a_mounts_minimum_is_there_for_a_victim(self):
        options = ATTACK | {"percent_each": 2, "users": True, "max_percent": 5}
        plain = run("adversary", "reservation", "pmd_pool", **options)
        mounts = run("adversary", "reservation", "pmd_pool", least_percent=1, **options)
        full = at(plain, "granted", "attacked") == TOTAL * 5 // 100
        assert full.any(), "no state had pageblocks for all"
        assert (at(plain, "victim_refused", "asked")[full] == ASKED).all()
        filled = at(mounts, "pool_pages", "start") >= TOTAL * 5 // 100
        assert filled.any(), "no state had pageblocks for all minima"
        assert (at(mounts, "promised_pages", "start")[filled] == TOTAL * 5 // 100).all()
        assert (at(mounts, "granted", "attacked")[filled] == 4 * ASKED).all()
        assert (at(mounts, "victim_refused", "asked")[filled] == 0).all()

    def test_a_filled_pool_stays_and_serves(self):
        options = ATTACK | {"max_percent": 10, "filled_percent": 10}
        out = run("adversary", "reservation", "pmd_pool", **options)
        full = at(out, "pool_pages", "start") == -(-TOTAL * 10 // 100 // 512) * 512
        assert full.any(), "no state had pageblocks for the pool"
        for step in ("attacked", "asked", "released"):
            assert (at(out, "pool_pages", step) == at(out, "pool_pages", "start"))[full].all()
        assert (at(out, "refused", "asked")[full] == 0).all()
        assert (at(out, "dm_2m_split", "asked")[full] == 0).all()

    def test_it_has_no_more_processes_than_are_modelled(self):
        with pytest.raises(UserError, match=f"processes: 1 to {PROCESSES - 1}"):
            workloads.make("adversary", processes=PROCESSES)


class TestTenants:
    def test_a_script_is_the_seed_s_alone(self):
        def rows(seed):
            rng = np.random.default_rng(seed)
            script = Script(rng=rng)
            idle = Churn(Pages(roomy()[0]), np.random.default_rng(0), 0, 0)
            workloads.make("tenants", churn_per_64_pages=0).write(script, TOTAL, idle)
            return script.array()

        np.testing.assert_array_equal(rows(1), rows(1))
        assert rows(1).shape != rows(2).shape or (rows(1) != rows(2)).any()

    def test_all_go_and_who_asks_more_gets_more(self):
        out = run("tenants", files=48, pages=8)
        assert (at(out, "secret_pages", "released") == 0).all()
        assert (at(out, "refused", "released") == 0).all()
        assert (at(out, "secret_pages", "files_100") < at(out, "granted", "files_100")).all()
        assert (at(out, "fairness", "files_100") < 1000).all()


class TestOptIn:
    FLEET: ClassVar[dict[str, Any]] = {"files": 48, "pages": 8}

    def test_who_does_not_opt_in_has_ordinary_memory(self):
        for share in ("users_percent", "hosts_percent"):
            none: dict[str, Any] = {share: 0}
            out = run("tenants", **self.FLEET, **none)
            ordinary = run("tenants", proposal="keep_mapped", **self.FLEET)
            np.testing.assert_array_equal(out.digests, ordinary.digests)
            assert (at(out, "granted", "files_100") == 0).all()
            assert (at(out, "used_pages", "files_50") > at(out, "used_pages", "start")).all()

    def test_half_of_the_users_is_half_of_the_files(self):
        some, every = (run("tenants", **self.FLEET, users_percent=n) for n in (50, 100))
        granted = [at(out, "granted", "files_100") for out in (some, every)]
        assert (granted[0] <= granted[1]).all() and 0 < granted[0].sum() < granted[1].sum()
        assert (at(some, "secret_pages", "released") == 0).all()
        assert (at(some, "free_pages", "released") > at(some, "free_pages", "files_100")).all()

    def test_a_host_opts_in_or_does_not(self):
        files = laid_out([3] * 40, list(range(40)), list(range(40)))
        fleet = workloads.make("microvms", hosts_percent=30)
        drawn = [fleet.opting(np.random.default_rng(k), files) for k in range(200)]
        shares = [sum(file.secret for file in chosen) for chosen in drawn]
        assert set(shares) == {0, 40} and 40 <= shares.count(40) <= 80

    def test_a_share_is_a_percentage(self):
        with pytest.raises(UserError, match="users_percent: 0 to 100"):
            workloads.make("guests", users_percent=101)


class TestGuests:
    def test_guests_start_turn_over_and_end(self):
        options = {"percents": (2, 4, 6), "percent_each": 1, "turnover": 2, "huge_pages": 0}
        out = run("guests", **options)
        each = TOTAL // 100
        for step, guests in (("guests_2", 2), ("guests_4", 4), ("guests_6", 6), ("turned", 6)):
            assert (at(out, "secret_pages", step) == guests * each).all()
            assert (at(out, "density", step) == guests).all()
        assert (at(out, "granted", "turned") == 8 * each).all()
        assert (at(out, "secret_pages", "released") == 0).all()

    def test_density_is_what_ran_before_the_first_refusal(self):
        options = {"percents": (4, 60), "percent_each": 2, "turnover": 2, "huge_pages": 0}
        out = run("guests", **options)
        each = TOTAL * 2 // 100
        dense = at(out, "density", "guests_60")
        assert (dense < 30).all()
        assert (dense >= at(out, "granted", "guests_60") // each).all()
        assert (at(out, "density", "released") <= dense).all()

    def test_more_may_not_turn_over_than_there_are(self):
        with pytest.raises(UserError, match="at most half"):
            workloads.make("guests", percents=(10, 20), percent_each=10, turnover=2)


class TestMicrovms:
    def test_a_fleet_comes_and_goes(self):
        out = run("microvms", vms=40, permille_each=2, life=10)
        each = TOTAL * 2 // 1000
        assert (at(out, "granted", "vms_100") == 40 * each).all()
        running = at(out, "secret_pages", "vms_100") // each
        assert (running == at(out, "density", "vms_100")).all()
        assert (running < 40).all() and (running > 0).all()
        assert (at(out, "secret_pages", "released") == 0).all()

    def test_no_more_than_are_modelled(self):
        with pytest.raises(UserError, match="vms: 1 to"):
            workloads.make("microvms", vms=PROCESSES + 1)
