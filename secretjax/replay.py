"""A recorded stream of requests, answered by the model."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from secretjax import engine, flow, runners
from secretjax.errors import UserError
from secretjax.mm.load import lists, load
from secretjax.mm.state import Fault, Tick
from secretjax.workloads import _recorded as recorded

GRAIN = 1 << 18  # of the length of a stream: one lane, so that room costs nothing


class Replayed(NamedTuple):
    """What the model answers.

    pfn    int64 [allocations], -1: refused
    lists  one int64 [blocks, 3] a snapshot: rows (pfn, order, migratetype), by order, type, place
    ticks  by name of each `mm.state.Tick`, how often it happened on the way
    """

    pfn: np.ndarray
    lists: list[np.ndarray]
    ticks: dict[str, int]


def replay(start, requests: Int32[np.ndarray, "requests 5"]) -> Replayed:
    """Answers a recorded stream, one exact request after the other.

    Raises `UserError` for a stream that gives back what it does not have.
    """
    body = requests[requests[:, 0] != 2]
    marks = np.flatnonzero(requests[:, 0] == 2)
    stops = [int((requests[:k, 0] != 2).sum()) for k in marks] + [len(body)]
    allocations = int((body[:, 0] == 0).sum())
    handles, whole = engine.rounded(allocations + 1, GRAIN), recorded.blocks_at_start(body)
    zones = flow.stack([load(start, handles, whole=whole, percpu=False)])
    pages = engine.pages_of(zones)
    stream = np.zeros((1, engine.rounded(len(body) + 1, GRAIN), 2), np.int32)
    stream[0, : len(body)] = recorded.encode(body)
    stream = jnp.asarray(stream)
    own = recorded.Cursor(*(jnp.zeros(1, jnp.int32) for _ in range(2)))
    runner, shots = runners.of_stream(pages), []
    for k, stop in enumerate(stops):
        own = own._replace(stop=jnp.full(1, stop, jnp.int32))
        zones, own = runner.to_stop(zones, own, stream)
        if k < len(marks):
            found = lists(np.asarray(zones.link[0]), pages)
            rows = [(p, o, t) for (o, t) in sorted(found) for p in found[(o, t)]]
            shots.append(np.array(rows, np.int64).reshape(-1, 3))
    fault = int(zones.now.fault[0])
    if fault:
        names = ", ".join(bit.name for bit in Fault if fault & bit)
        raise UserError(f"{start.name}: {names}: the requests give back what is not in use")
    ticks = {tick.name: int(n) for tick, n in zip(Tick, zones.ticks[0], strict=True)}
    return Replayed(np.asarray(zones.handle[0], np.int64)[:allocations], shots, ticks)
