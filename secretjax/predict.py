"""Closed loop: a captured machine's start state and demands, under the model's own dynamics.

The fields of operations are in `secretjax.cases.predict`; what is answered, in `answers`. One task,
one CPU, and kswapd and kcompactd beside it; states differ by when these get the CPU, and by what a
case leaves open (churn, pinned pages). Not modelled: the objects of the lab's churn one by one
(pages of the same kinds come and go instead), and so the bounds of free memory that it kept to; nor
where the lab stopped after so many failures in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secretjax import admission, cases, engine, hugetlb, proposals
from secretjax.admission._hugetlb_ops import Machine
from secretjax.cases import PredictCase, ReplayCase, StartState
from secretjax.errors import UserError
from secretjax.mm.state import Op
from secretjax.mm.words import PAGEBLOCK_PAGES, Migratetype
from secretjax.program import PATIENCE
from secretjax.replay import replay
from secretjax.workloads._recorded import FRESH, encode
from secretjax.workloads.base import BATCH, Churn, Do, Script, Workload

POOL_OF_LAB = {  # settings.secret_pool of the captured kernel -> proposal, and the options it ran
    "none": ("per_page", {}),
    "buddy_2m": ("pmd_pool", {"shared": True, "fallback": False, "keep_idle": True}),
    "cma": ("cma_pool", {"shared": True, "keep_idle": True}),
}
PAUSE = 350_000  # time between two steps, in hundredths of a page fault (the captures' traces)
# files of /proc that the lab reads after an operation
READS = {"secret_grow": 3, "thp_probe": 7, "grow_nr_hugepages": 3}


@dataclass(frozen=True, eq=False)
class CaseDemand(Workload):
    """The operations of a case as a workload."""

    ops: tuple[dict, ...]

    def secret(self, total):
        return sum(op["pages"] for op in self.ops if op["op"] == "secret_grow")

    def events(self, total):
        return sum(
            (op["pages"] // BATCH + 1) * churn_events(op)
            for op in self.ops
            if op["op"] == "secret_grow"
        )

    def floor(self):
        return max((op.get("stop_if_free_below", 0) for op in self.ops), default=0)

    def pinned(self, anonymous):
        return max((op.get("pinned_anonymous_pages", 0) for op in self.ops), default=0)

    def write(self, script: Script, total: int, churn: Churn) -> None:
        script.measure("start")
        last = max((k for k, op in enumerate(self.ops) if "step" in op), default=-1)
        sizes = []
        for op in self.ops[: last + 1]:
            write_op(script, op, sizes, churn, total)
            if "step" in op:
                script.measure(f"{op['step']}/{op['op']}")
            script.add(reads(READS.get(op["op"], 0), churn.spare))
            if op["op"] == "thp_probe":
                script.add(np.array([[int(Op.WAIT), PAUSE]]))


def reads(files: int, handle: int) -> np.ndarray:
    """Rows of reading so many files of /proc: a buffer of order 2 each, given back at once."""
    take = np.array([0, 2, int(Migratetype.UNMOVABLE), handle, 0])
    give = np.array([1, 2, -1, handle, 0])
    rows = encode(np.stack([take, give]))
    rows[:, 0] += [Op.GET - Op.ALLOC, Op.PUT - Op.FREE]
    rows[:, 0] |= 1 << FRESH
    return np.tile(rows, (files, 1))


def churn_events(op: dict) -> int:
    """Pages that come or go after every 64 pages of a growth: an operation moves two on average."""
    return 2 * op["churn_per_64_pages"]


def write_op(script: Script, op: dict, sizes: list[int], churn: Churn, total: int) -> None:
    """The rows of one operation.

    sizes: pages of the files that are open, in order; total: managed pages of the zone
    """
    kind = op["op"]
    if kind == "secret_grow":
        sizes.append(op["pages"])
        script.do(Do.OPEN, op["pages"])
        script.add(churn.during(op["pages"], churn_events(op)))
    elif kind == "thp_probe":
        script.do(Do.PROBE, op["huge_pages"])
    elif kind == "secret_free_all":
        for pages in filter(None, sizes):
            script.do(Do.CLOSE, pages)
        sizes.clear()
    elif kind == "pool_shrink":
        script.do(Do.SHRINK)
    elif kind == "cma_take":
        script.do(Do.TAKES, op["rounds"])
    elif kind == "compact_memory":
        script.add(np.array([[int(Op.COMPACT), 0]]))
    elif kind == "grow_nr_hugepages":
        by, patience = op["by"], op["stop_after_steps_without_gain"]
        for i in range(-(-(total // PAGEBLOCK_PAGES) // by) + patience):
            script.do(Do.DRAIN, by | patience << PATIENCE)
            if i % 2 == 0:  # the lab looks after every other step
                script.add(reads(READS[kind], churn.spare))


def secret_metrics(out: engine.Outcome, k: int, total: int) -> dict[str, np.ndarray]:
    """What a step of secret memory is asked for; `total` pages were wanted so far in this step."""
    at = lambda name: out.values[name][:, k]  # noqa: E731
    return {
        "secret_pages": at("granted"),
        "refused": total - (at("granted") - out.values["granted"][:, k - 1]),
        "dm_2m_split": at("dm_2m_split"),
        "unmovable_pageblocks": at("unmovable_pageblocks"),
        "free_pages": at("free_pages"),
        "free_plus_pcp": at("free_pages") + at("pcp_pages"),
        "free_2m": at("free_2m"),
        "pages_migrated": at("migrated"),
        "migrate_failed": at("migrate_failed"),
    }


def answers(case: PredictCase, out: engine.Outcome) -> list[dict]:
    """Steps and metrics that the case asks for, one value a state."""
    found: dict[str, dict] = {}
    for op in case.ops:
        if "step" not in op:
            continue
        k = out.steps.index(f"{op['step']}/{op['op']}")
        delta = lambda name, k=k: out.values[name][:, k] - out.values[name][:, k - 1]  # noqa: E731
        answer = found.setdefault(op["step"], {})
        if op["op"] == "secret_grow":
            answer |= secret_metrics(out, k, op["pages"])
        elif op["op"] == "thp_probe":
            answer |= {"thp_ok": delta("huge_ok"), "thp_tried": delta("huge_tried")}
        elif op["op"] == "cma_take":
            answer |= {"cma_blocks_ok": delta("huge_ok"), "pages_migrated": delta("migrated")}
        elif op["op"] == "grow_nr_hugepages":
            got = delta("huge_ok")
            easy = out.values["huge_easy"][:, k]
            steps = np.where(easy < got, easy // op["by"] * op["by"], got)
            answer |= {"huge_before_compaction": steps, "huge_total": got}
            answer |= {"pages_migrated": delta("migrated")}
    return [{"step": step, "metrics": metrics} for step, metrics in found.items()]


def prepared(
    case: PredictCase, proposal: str | None, seed: int, starts: Sequence[StartState] = ()
) -> engine.Simulation:
    """What `predict` simulates: its proposal and its start states are chosen as told there."""
    name, options = POOL_OF_LAB[case.start.settings["secret_pool"]]
    own = proposal in (None, name)
    chosen = proposals.make(name, **options) if own else proposals.make(proposal)
    demand, rule = CaseDemand(case.ops), admission.make("none")
    return engine.prepared(starts or [case.start], demand, chosen, rule, seed, 0)


def predict(
    case: PredictCase,
    proposal: str | None,
    states: int,
    seed: int,
    starts: Sequence[StartState] = (),
    lanes: int = engine.LANES,
) -> list[dict]:
    """Answers to a case: [{"step", "metrics": {name: int64 [states]}}].

    The proposal defaults to what the captured kernel ran. starts: instead of the case's own start
    state, in turn (`machine.infer` draws them). lanes: states at a time. Raises `UserError` where
    one case has operations on hugetlb mappings and others, or a proposal is to answer the former.
    """
    mappings = {hasattr(Machine, op["op"]) for op in case.ops if op["op"] != "nothing"}
    if mappings == {False}:
        return answers(case, prepared(case, proposal, seed, starts).outcome(states, lanes))
    if len(mappings) > 1:
        raise UserError("ops are on hugetlb mappings in part, but a case has one kind; split it")
    if proposal is not None:
        raise UserError(
            f"a case of hugetlb mappings has no secret memory, so no proposal '{proposal}'; leave "
            "--proposal out"
        )
    found = hugetlb.run(case.ops, case.start, states, seed, lanes)
    return [{"step": step, "metrics": metrics} for step, metrics in found]


def predict_file(case: Path, out: Path, proposal: str | None, states: int, seed: int) -> None:
    """`secretjax predict`."""
    from secretjax.machine import forecast, seen

    if seen.is_capture(case):
        found = forecast.forecast(
            seen.read(case), states=states, seed=seed, names=[proposal or "per_page"]
        )
        cases.write_predict(out, found.steps())
        return
    read = cases.read(case)
    if not isinstance(read, PredictCase):
        raise UserError(f"{case}: it holds no operations to predict; give a *.predict.npz case")
    cases.write_predict(out, predict(read, proposal, states, seed))


def replay_file(case: Path, out: Path) -> None:
    """`secretjax replay`."""
    read = cases.read(case)
    if not isinstance(read, ReplayCase):
        raise UserError(f"{case}: it holds no recorded requests; give a *.replay.npz case")
    answer = replay(read.start, read.requests)
    cases.write_replay(out, answer.pfn, answer.lists)
