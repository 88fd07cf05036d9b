"""Admission rules and demands of several tenants, against what the sources say they do."""

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import admission, engine, proposals, workloads
from secretjax import ledger as book
from secretjax.admission.base import Request
from secretjax.errors import UserError
from secretjax.ledger import PROCESSES, Column, Ledger, Owners
from secretjax.metrics.tenants import jain, largest_share
from secretjax.workloads.base import Churn, Pages, Script
from tests.oracle import streams

TOTAL = 16000
LIMIT = 100  # pages
_ran: dict = {}


def ledger(rows):
    """{process: (user, held, mapped, charged)} as a ledger."""
    processes, users = np.zeros((2, PROCESSES, len(Column)), np.int32)
    for process, (user, *counts) in rows.items():
        processes[process, :3] = counts
        users[user, :3] += np.int32(counts)
    return Ledger(jnp.asarray(processes), jnp.asarray(users))


def request(rows, process, pages=1, grows=False, **pool):
    """pool: `pool`, `reserved` and `promised` pages."""
    whole = ledger(rows)
    given = dict.fromkeys(("pool", "reserved", "promised"), 0) | pool
    given |= {"pages": pages, "process": process, "user": rows.get(process, (process,))[0]}
    given |= {"held": whole.user[:, Column.HELD].sum(), "total": TOTAL}
    numbers = {name: jnp.asarray(n, jnp.int32) for name, n in given.items()}
    return Request(grows=jnp.asarray(grows), ledger=whole, **numbers)


class TestRules:
    def test_memlock_mm_counts_the_mapped_pages_of_one_process(self):
        rule = admission.make("memlock_mm", limit_kib=4 * LIMIT)
        rows = {0: (0, 30, 20, 0), 1: (0, 90, 0, 0)}
        assert rule.maps(request(rows, 0, 50)) and not rule.maps(request(rows, 0, 51))
        assert rule.maps(request(rows, 1, 10)) and not rule.maps(request(rows, 1, 11))
        assert rule.maps(request(rows, 2, LIMIT)) and not rule.maps(request(rows, 2, LIMIT + 1))
        assert rule.charges(request({0: (0, LIMIT, 50, 0)}, 0)), "a fault checks nothing"

    def test_memlock_user_counts_the_touched_pages_of_all_his_processes(self):
        rule = admission.make("memlock_user", limit_kib=4 * LIMIT)
        rows = {0: (3, 40, 999, 0), 1: (3, 59, 0, 0), 2: (4, LIMIT, 0, 0)}
        assert rule.charges(request(rows, 0)) and rule.charges(request(rows, 1))
        assert not rule.charges(request(rows | {1: (3, 60, 0, 0)}, 0))
        assert not rule.charges(request(rows, 2))
        assert rule.maps(request(rows, 2, 10 * LIMIT)), "mmap checks nothing"

    def test_memcg_charges_pages_or_whole_pageblocks(self):
        limit = TOTAL * 10 // 100
        by_page = admission.make("memcg", limit_percent=10)
        by_block = admission.make("memcg", limit_percent=10, chunks=True)
        rows = {0: (1, 3, 0, limit - 512)}
        assert by_block.charges(request(rows, 0, grows=True))
        rows = {0: (1, 3, 0, limit - 511)}
        assert not by_block.charges(request(rows, 0, grows=True))
        assert by_block.charges(request(rows, 0)), "a page of a charged pageblock is free"
        assert by_page.charges(request(rows, 0, grows=True))
        assert by_page.charges(request({0: (1, limit - 1, 0, 0)}, 0))
        assert not by_page.charges(request({0: (1, limit, 0, 0)}, 0))

    def test_users_do_not_share_a_limit(self):
        for name in ("memlock_user", "memcg"):
            rule = admission.make(name)
            assert rule.charges(request({0: (0, TOTAL, 0, TOTAL), 5: (5, 0, 0, 0)}, 5))


class TestFairness:
    @pytest.mark.parametrize(
        "granted, asked, index",
        [
            ([5, 5, 5, 5], [9, 9, 9, 9], 1000),
            ([8, 0, 0, 0], [8, 8, 8, 8], 250),
            ([8, 0, 0, 0], [8, 8, 0, 0], 500),
            ([3, 1], [3, 3], 800),  # (3+1)^2 / (2 * (9+1)), thirds rounded down to 333
            ([2_000_000, 1_000_000], [1, 1], 900),
            ([0, 0], [4, 4], 1000),
        ],
    )
    def test_jain(self, granted, asked, index):
        found = int(jain(jnp.asarray(granted, jnp.int32), jnp.asarray(asked, jnp.int32)))
        assert index - 1 <= found <= index

    def test_the_largest_share(self):
        assert int(largest_share(jnp.asarray([30, 10, 0], jnp.int32))) == 750
        assert int(largest_share(jnp.zeros(3, jnp.int32))) == 0


def test_a_ledger_adds_to_one_process_and_sums_by_user():
    rows = {0: (2, 7, 0, 0), 3: (2, 5, 0, 0), 4: (1, 9, 0, 0)}
    after = book.entered(ledger(rows), jnp.int32(3), jnp.int32(2), {Column.HELD: jnp.int32(4)})
    assert after.user[:, Column.HELD].tolist() == [0, 9, 16] + [0] * (PROCESSES - 3)
    assert after.process[:5, Column.HELD].tolist() == [7, 0, 0, 9, 9]
    assert int(book.at(after.user, jnp.int32(2), Column.HELD)) == 16
    assert after.user[:, 1:].sum() == after.process[:, 1:].sum() == 0


def test_the_killer_takes_the_largest_process_of_the_user():
    rows = {0: (2, 7, 90, 0), 1: (1, 50, 0, 0), 3: (2, 9, 0, 0), 4: (2, 9, 0, 0)}
    user = np.zeros(PROCESSES, np.int32)
    user[[0, 1, 3, 4]] = 2, 1, 2, 2
    owners = Owners(jnp.asarray(user), *(jnp.zeros(PROCESSES, jnp.int32) for _ in range(3)))
    assert int(book.largest(ledger(rows), owners, jnp.int32(2))) == 3
    assert int(book.largest(ledger(rows), owners, jnp.int32(1))) == 1


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
            states=2,
            seed=3,
        )
    return _ran[key]


ATTACK = {"processes": 4, "percent_each": 1, "files_each": 4, "victim_percent": 1}
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

    def test_it_has_no_more_processes_than_are_modelled(self):
        with pytest.raises(UserError, match="processes: 1 to 15"):
            workloads.make("adversary", processes=16)


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
