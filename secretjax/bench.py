"""How many exact events a second: blocks handed out or given back as the kernel does it.

The recorded streams of a real kernel, on states of 2^17 pages, one process for each core with one
XLA thread (hand-overs between threads cost more than they give), all at once. Neighbouring lanes
replay different captures. The peer, scalar C, answers the same streams, one state after the other.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from statistics import median

LANES = 256
STEPS = 4096
CASES = (
    "f_mixed_s1", "f_steal_s1", "f_compact_s1", "f_anonfrag_s1", "f_secretfrag_s1", "f_secret_s1",
    "f_anon_s1", "f_pipe_s1",
)  # fmt: skip


def folder() -> Path:
    """Where the captured kernel's cases are."""
    return Path(str(resources.files("secretjax"))).parent / "params" / "kernel"


def prepare():
    """Zones, cursors and streams of one block of lanes."""
    import jax.numpy as jnp
    import numpy as np

    from secretjax import cases, engine, flow, xla
    from secretjax.mm.load import load
    from secretjax.workloads import _recorded as recorded

    read = [cases.read(folder() / f"{name}.replay.npz") for name in CASES]
    bodies = [case.requests[case.requests[:, 0] != 2] for case in read]
    handles = max(int((b[:, 0] == 0).sum()) for b in bodies)
    bases = [
        load(case.start, handles, whole=recorded.blocks_at_start(body))
        for case, body in zip(read, bodies, strict=True)
    ]
    chosen = [lane % len(bases) for lane in range(LANES)]
    table = np.zeros((len(bases), max(map(len, bodies)) + 1, 2), np.int32)
    for row, body in zip(table, bodies, strict=True):
        row[: len(body)] = recorded.encode(body)
    zones = flow.stack([bases[k] for k in chosen])
    stop = jnp.asarray([len(bodies[k]) for k in chosen], jnp.int32)
    own = recorded.Cursor(jnp.zeros(LANES, jnp.int32), stop)
    return xla.stream_runner(engine.pages_of(zones)), zones, own, jnp.asarray(table[chosen])


def worker(seconds: float, core: int, barrier, results) -> None:
    """Runs one block again and again on one core; reports (events, seconds) of each chunk."""
    os.sched_setaffinity(0, {core})
    import jax
    import numpy as np

    run, zones, own, table = prepare()
    zones, own = run(zones, own, table, STEPS)  # compiles
    jax.block_until_ready(own)
    chunks = []
    barrier.wait()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        if bool((own.pc >= own.stop).any()):
            run, zones, own, table = prepare()
        before = int(np.asarray(own.pc, np.int64).sum())
        clock = time.perf_counter()
        zones, own = run(zones, own, table, STEPS)
        jax.block_until_ready(own)
        took = time.perf_counter() - clock
        events = int(np.asarray(own.pc, np.int64).sum()) - before
        chunks.append((events, took))
    results.put(chunks)


def peer_worker(seconds: float, core: int, barrier, results) -> None:
    """The same for the peer, whose chunks are all streams once; a new state for each."""
    os.sched_setaffinity(0, {core})
    from secretjax import cases, peer

    read = [cases.read(folder() / f"{name}.replay.npz") for name in CASES]
    work = [(case.start, case.requests[case.requests[:, 0] != 2]) for case in read]
    chunks = []
    barrier.wait()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        took = 0.0
        for start, requests in work:
            zone = peer.Peer(start)
            clock = time.perf_counter()
            zone.answer(requests)
            took += time.perf_counter() - clock
        chunks.append((sum(len(requests) for _, requests in work), took))
    results.put(chunks)


def measure(seconds: float, processes: int, work: Callable = worker) -> list[float]:
    """Million events a second of each process, the median over its chunks."""
    os.environ["NPROC"] = "1"  # read when XLA starts
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(processes), spawn.Queue()
    cores = sorted(os.sched_getaffinity(0))
    workers = [
        spawn.Process(target=work, args=(seconds, cores[k], barrier, results))
        for k in range(processes)
    ]
    for process in workers:
        process.start()
    found = [results.get() for _ in workers]
    for process in workers:
        process.join()
    return [median(events / took for events, took in chunks) / 1e6 for chunks in found]


def compare(seconds: float, processes: int, rounds: int = 3) -> list[tuple[float, float]]:
    """Million events a second of the engine and of the peer, in turns."""
    return [
        (sum(measure(seconds, processes)), sum(measure(seconds, processes, peer_worker)))
        for _ in range(rounds)
    ]


def report(seconds: float, with_peer: bool = False) -> None:
    """`secretjax bench`: one process, then all cores at once; or beside the peer, in turns."""
    cores = len(os.sched_getaffinity(0))
    if with_peer:
        from secretjax import peer

        for name in CASES:
            peer.check(folder() / f"{name}.replay.npz")
        engine, scalar = zip(*compare(seconds, cores), strict=True)
        ratio = median(e / s for e, s in zip(engine, scalar, strict=True))
        print(
            f"{cores} processes: engine {median(engine):.1f}, scalar C {median(scalar):.1f} "
            f"M events/s, {ratio:.2f} of it; medians of {len(engine)} rounds in turns"
        )
        return
    print(f"{LANES} states of 2^17 pages a process, streams of {len(CASES)} captures, exact")
    for processes in sorted({1, cores}):
        rates = measure(seconds, processes)
        each = " + ".join(f"{rate:.1f}" for rate in rates)
        name = "process" if processes == 1 else "processes"
        print(
            f"{processes} {name}: {sum(rates):.1f} M events/s ({each}), "
            f"medians over chunks of {STEPS} steps"
        )
