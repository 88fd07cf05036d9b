"""What the tables of users and processes hold, and how fair what they say is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import ledger as book
from secretjax.ledger import PROCESSES, Counts
from secretjax.metrics.tenants import jain, largest_share


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
            ([5] * 128, [5] * 128, 1000),  # as many users as there may be
            ([2_000_000] * 127 + [0], [1] * 128, 992),
        ],
    )
    def test_jain(self, granted, asked, index):
        found = int(jain(jnp.asarray(granted, jnp.int32), jnp.asarray(asked, jnp.int32)))
        assert index - 1 <= found <= index

    def test_the_largest_share(self):
        assert int(largest_share(jnp.asarray([30, 10, 0], jnp.int32))) == 750
        assert int(largest_share(jnp.zeros(3, jnp.int32))) == 0


def book_of(rows):
    """Tables of {process: (user, held, mapped)}, and process 0 runs."""
    owner, first, behind, present = np.zeros((4, PROCESSES), np.int32)
    first[:] = 1000
    for process, (user, *_) in rows.items():
        owner[process], present[user] = user, 1
        first[process], behind[process] = 10 * process, 10 * process + 10
    tables, current = book.begin(owner, first, behind, present)
    for process, (user, *counts) in rows.items():
        tables.process[process, : len(counts)] = counts
        tables.user[user, : len(counts)] += np.array(counts, np.int32)
    tables, current = jax.tree.map(jnp.asarray, (tables, current))
    mine, users = tables.process[0], tables.user[tables.owner[0]]
    return tables, current._replace(mine=Counts(*mine), users=Counts(*users))


ROWS = {0: (2, 7, 90), 1: (1, 50, 0), 3: (2, 9, 0), 4: (2, 9, 1)}


class TestLedger:
    def test_what_a_turn_counted_is_there_when_it_comes_back(self):
        tables, current = book_of(ROWS)
        more = (
            current.mine._replace(held=current.mine.held + 4),
            current.users._replace(held=jnp.int32(29)),
        )
        current = current._replace(mine=more[0], users=more[1], shut=jnp.int32(1))
        tables, current = book.switched(tables, current, jnp.int32(1), jnp.int32(5))
        assert (int(current.user), int(current.mine.held), int(current.users.held)) == (1, 50, 50)
        assert (int(current.first), int(current.behind), int(current.shut)) == (10, 20, 0)
        tables, current = book.switched(tables, current, jnp.int32(4), jnp.int32(0))
        assert (int(current.user), int(current.mine.mapped), int(current.users.held)) == (2, 1, 29)
        assert int(current.shut) == 1, "that of file 0"
        tables, current = book.switched(tables, current, jnp.int32(0), jnp.int32(0))
        assert (int(current.mine.held), int(current.mine.mapped)) == (11, 90)
        assert book.column(tables.user, "held").tolist() == [0, 50, 29] + [0] * (PROCESSES - 3)

    def test_the_killer_takes_the_largest_process_of_the_user(self):
        tables, current = book_of(ROWS)
        _, current = book.switched(tables, current, jnp.int32(book.LARGEST), jnp.int32(0))
        assert int(current.process) == 3, "the first of two"
        assert int(book.largest(tables, jnp.int32(1))) == 1

    def test_registers_count_before_they_are_written_back(self):
        tables, current = book_of(ROWS)
        current = current._replace(mine=current.mine._replace(held=jnp.int32(10)))
        assert (
            int(book.switched(tables, current, jnp.int32(book.LARGEST), current.file)[1].process)
            == 0
        )
