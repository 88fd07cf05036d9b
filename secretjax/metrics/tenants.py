"""Who got secret memory and who was refused: fairness, a victim's failure, density, kills."""

from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int32

from secretjax.ledger import VICTIM, column
from secretjax.metrics.base import Metric
from secretjax.metrics.free_memory import scaled
from secretjax.mm.reading import Reading
from secretjax.mm.state import Word

REFUSED = ("refused_mmap", "refused_fault")
KSELFTEST = "Michal Hocko, linux-kselftest, January 2021: one user can deny the pool to all others"


def asked(reading: Reading) -> Int32[Array, " users"]:
    """Pages that each user was granted or refused."""
    names = ("granted", *REFUSED)
    return cast(Array, sum(column(reading.users, name) for name in names))


def granted(reading: Reading) -> Int32[Array, " users"]:
    """And of them those that it was granted."""
    return column(reading.users, "granted")


def jain(got: Int32[Array, " users"], among: Int32[Array, " users"]) -> Word:
    """(sum x)^2 / (n sum x^2) of 1000 over the n users that asked; 1000 if all got nothing.

    x: a grant in 256ths of the largest, rounded down, so that no product of 128 users overflows.
    """
    most = jnp.max(got)
    share = jax.vmap(lambda one: scaled(one, 256, most))(got)
    squares = (among > 0).sum(dtype=jnp.int32) * (share * share).sum(dtype=jnp.int32)
    return jnp.where(most > 0, scaled(share.sum(dtype=jnp.int32) ** 2, 1000, squares), 1000)


def largest_share(got: Int32[Array, " users"]) -> Word:
    """The largest grant of 1000 of all; 0 if there is none."""
    return scaled(jnp.max(got), 1000, got.sum(dtype=jnp.int32))


def victim_refused(reading: Reading) -> Word:
    """Pages that the victim was refused, wherever."""
    return cast(Array, sum(column(reading.users, name)[VICTIM] for name in REFUSED))


METRICS = (
    Metric(
        "fairness",
        "Jain index of what users were granted",
        "of 1000",
        "higher",
        "Jain, Chiu, Hawe, DEC TR-301, 1984",
        lambda r: jain(granted(r), asked(r)),
    ),
    Metric(
        "largest_share",
        "what one user was granted, at most",
        "of 1000",
        "lower",
        KSELFTEST,
        lambda r: largest_share(granted(r)),
    ),
    Metric(
        "victim_refused",
        "pages that the victim was refused",
        "pages",
        "lower",
        KSELFTEST,
        victim_refused,
        counter=True,
    ),
    Metric(
        "victim_failed",
        "the victim was refused a page: 1, else 0",
        "of 1",
        "lower",
        KSELFTEST,
        lambda r: (victim_refused(r) > 0).astype(jnp.int32),
    ),
    Metric(
        "oom_kills",
        "processes killed at the limit of their tenant",
        "processes",
        "lower",
        "memory.events oom_kill",
        lambda r: column(r.users, "killed").sum(dtype=jnp.int32),
        counter=True,
    ),
    Metric(
        "density",
        "files open, until one is refused",
        "files",
        "higher",
        "guests of a host before the first refusal",
        lambda r: r.files_up,
    ),
    Metric(
        "promised_pages",
        "pages that a pool owes and nobody has touched",
        "pages",
        "lower",
        "/proc/meminfo HugePages_Rsvd",
        lambda r: r.promised,
    ),
)
