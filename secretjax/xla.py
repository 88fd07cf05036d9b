"""Compiled programs of XLA that take a block of states some steps on, in lockstep."""

import math
from collections.abc import Callable
from functools import cache, partial

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from secretjax.admission.base import Admission
from secretjax.mm.machine import LANES as AXIS
from secretjax.mm.machine import once, step
from secretjax.proposals.base import Proposal
from secretjax.rules import Rules
from secretjax.workloads import _recorded as recorded

# Of the step, on a CPU: wide vectors are 3 to 9 % faster where there are such; level 2 compiles 64
# lanes in 0.85 of the time and 8 in 0.64, whose steps take 0.73 of it.
OPTIONS = {"xla_cpu_prefer_vector_width": 512, "xla_backend_optimization_level": 2}


@cache
def program_runner(proposal: Proposal, admission: Admission, pages: int) -> Callable:
    """Compiled: a block of states, `steps` steps on. admission: its `program()`."""
    rules = Rules(proposal, admission)

    def one(zone, me, script, go):
        free = zone.now.free
        row, asked = once(go, rules.ask, me, *recorded.fetch(me, script), free)
        zone, finished, answer = step(zone, asked, go, pages)
        stalls = zone.now.stalls
        after = once(go, rules.after, me, row, free, stalls, finished, answer)
        return zone, rules.whole(me, after)

    return _runner(one)


@cache
def stream_runner(pages: int) -> Callable:
    """Compiled: a block of recorded streams, `steps` steps on."""

    def one(zone, own, stream, go):
        zone, finished, answer = step(zone, recorded.command(own, stream), go, pages)
        return zone, recorded.advance(own, finished, answer)

    return _runner(one)


def _runner(one: Callable) -> Callable:
    batched = jax.vmap(one, in_axes=(0, 0, 0, None), axis_name=AXIS)

    def loop(zones, own, tables, steps):
        def body(i, carry):
            return batched(*carry, tables, i > -1)  # never false, and unknown to the compiler

        return jax.lax.fori_loop(0, steps, body, (zones, own))

    options = OPTIONS if jax.default_backend() == "cpu" else {}

    @partial(jax.jit, donate_argnums=(0, 1), compiler_options=options)
    def run(zones, own, tables, steps):
        devices = math.gcd(jax.local_device_count(), own.pc.shape[0])
        if devices == 1:
            return loop(zones, own, tables, steps)
        mesh = Mesh(np.array(jax.local_devices()[:devices]), ("states",))
        own_share, all_of_it = PartitionSpec("states"), PartitionSpec()
        shards = jax.shard_map(
            loop,
            mesh=mesh,
            in_specs=(own_share, own_share, own_share, all_of_it),
            out_specs=(own_share, own_share),
            check_vma=False,
        )
        return shards(zones, own, tables, steps)

    return run
