"""The number of devices does not change a bit."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import jax
from dataclasses import replace
from secretjax import admission, engine, proposals, workloads
from tests.oracle import streams
start = streams.make(1, pageblocks=32, requests=10, cma=0).start
start = replace(start, zone={**start.zone, "managed": 16000})
demand = workloads.make("growth", percents=(5, 20), churn_per_64_pages=8, huge_pages=2)
out = engine.simulate([start], demand, proposals.make("migratable"), admission.make("none"),
                      states=4, seed=9, ageing_events=200)
print(jax.device_count(), out.digests.tolist(), {k: v.tolist() for k, v in out.values.items()})
"""


def ran(devices: int) -> str:
    """What the program prints when the host stands for so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return run.stdout


def test_one_and_two_devices_give_the_same_bits():
    one, two = ran(1), ran(2)
    assert one.startswith("1 ") and two.startswith("2 ")
    assert one[2:] == two[2:]
