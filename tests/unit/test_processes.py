"""The number of processes under jax.distributed does not change a bit."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from secretjax import processes

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
import jax
place, count, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if count > 1:
    jax.distributed.initialize(place, num_processes=count, process_id=number)
from dataclasses import replace
from secretjax import admission, engine, proposals, workloads
from tests.oracle import streams
start = streams.make(1, pageblocks=32, requests=10, cma=0).start
starts = [replace(start, name=name, zone={**start.zone, "managed": 16000}) for name in "ab"]
demand = workloads.make("growth", percents=(5,), churn_per_64_pages=8, huge_pages=2)
for states in (3, 1):  # of one a process gets none
    out = engine.simulate(starts, demand, proposals.make("migratable"), admission.make("none"),
                          states=states, seed=9, ageing_events=200)
    print(out.start, out.digests.tolist(), {k: v.tolist() for k, v in out.values.items()})
print(jax.process_count())
"""


def ran(count: int, again: bool = True) -> list[str]:
    """What each of so many processes prints; once more where another took the port meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, place, str(count), str(number)],
            env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(count)
    ]  # fmt: skip
    said = [started[0].communicate(timeout=300)]
    if again and "Failed to start RPC server" in said[0][1]:
        for process in started[1:]:
            process.kill()
            process.communicate()
        return ran(count, again=False)
    said += [process.communicate(timeout=300) for process in started[1:]]
    assert [p.returncode for p in started] == [0] * count, said[0][1][-2000:]
    lines = [out.splitlines() for out, _ in said]
    return ["\n".join(x for x in own if not x.startswith("[Gloo]")) for own in lines]


def test_one_and_two_processes_give_the_same_bits():
    (alone,), both = ran(1), ran(2)
    assert alone.endswith("\n1")
    assert both == [alone.removesuffix("1") + "2"] * 2


@pytest.mark.parametrize("states", [1, 2, 5, 8])
def test_states_are_dealt_out_and_put_together(monkeypatch, states):
    from jax.experimental import multihost_utils

    whole = np.arange(states * 6, dtype=np.int64).reshape(states, 2, 3) << 33
    monkeypatch.setattr(processes.jax, "process_count", lambda: 3)
    parts = []
    for index in range(3):
        monkeypatch.setattr(processes.jax, "process_index", lambda index=index: index)
        parts.append(whole[list(processes.mine(states))])
    sent = []
    gather = lambda words: sent.append(words) or np.stack([words] * 3)  # noqa: E731
    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    for part in parts:
        processes.together(part, states)
    monkeypatch.setattr(multihost_utils, "process_allgather", lambda words: np.stack(sent))
    np.testing.assert_array_equal(processes.together(parts[0], states), whole)
