"""Admission rules and demands of several tenants, against what the sources say they do."""

import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import admission, engine, proposals, workloads
from secretjax import ledger as book
from secretjax.admission.base import Request
from secretjax.errors import UserError
from secretjax.ledger import PROCESSES, Column
from secretjax.metrics.tenants import jain, largest_share
from secretjax.workloads.base import Churn, Pages, Script
from tests.oracle import streams

TOTAL = 16000
LIMIT = 100  # pages
_ran: dict = {}


def ledger(rows):
    """{process: (user, held, mapped, chunks)} as a ledger."""
    made = np.zeros((PROCESSES, len(Column)), np.int32)
    for process, counts in rows.items():
        made[process, :4] = counts
    return jnp.asarray(made)


def request(rows, process, pages=1, grows=False):
    whole = ledger(rows)
    number = lambda n: jnp.asarray(n, jnp.int32)  # noqa: E731
    held = int(whole[:, Column.HELD].sum())
    return Request(
        number(pages), jnp.asarray(grows), number(process), whole, number(held), number(0), TOTAL
    )


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
    after = book.entered(ledger(rows), jnp.asarray(3, jnp.int32), {Column.HELD: jnp.int32(4)})
    assert book.by_user(after, Column.HELD).tolist() == [0, 9, 16] + [0] * (PROCESSES - 3)
    assert int(book.of_user(after, jnp.int32(0), Column.HELD)) == 16
    assert int(book.of_process(after, jnp.int32(0), Column.HELD)) == 7


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

    def test_a_cgroup_kills_who_passes_its_limit_and_his_file_goes(self):
        out = run("adversary", "memcg", limit_percent=2, **ATTACK)
        limit, file = TOTAL * 2 // 100, EACH // 4
        kills = 16 - limit // file
        assert limit % file == 0, "each file too many dies at its first page"
        assert (at(out, "oom_kills", "attacked") == kills).all()
        assert (at(out, "secret_pages", "attacked") == limit).all()
        uneven = run("adversary", "memcg", limit_percent=2, **ATTACK | {"files_each": 3})
        file = EACH // 3
        assert (at(uneven, "granted", "attacked") > at(uneven, "secret_pages", "attacked")).all()
        assert (at(uneven, "secret_pages", "attacked") == limit // file * file).all()
        assert (at(uneven, "oom_kills", "attacked") == 12 - limit // file).all()

    def test_a_cgroup_that_does_not_kill_keeps_what_it_granted(self):
        options = ATTACK | {"files_each": 3, "kills": False}
        out = run("adversary", "memcg", limit_percent=2, **options)
        assert (at(out, "secret_pages", "attacked") == TOTAL * 2 // 100).all()
        assert (at(out, "oom_kills", "asked") == 0).all()

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
