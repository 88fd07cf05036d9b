"""The model changed in one place at a time: does a test notice?

    pip install cosmic-ray
    python -m tests.mutants --sample 60 FOLDER

clones the checkout into FOLDER, changes it there, and says how many changes were caught and which
were not. Places are drawn, and at each one of cosmic-ray's operators: a place at which a dozen are
possible counts once. With the same seed it goes on where it was stopped.
"""

import argparse
import random
import shlex
import sqlite3
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from secretjax.study import statistics

ROOT = Path(__file__).parents[1]
PARTS = ("secretjax/mm", "secretjax/admission")
# The quickest first: most changes are caught by the first file.
TESTS = (
    "tests/kernel/test_replay.py", "tests/kernel/test_published_values.py",
    "tests/kernel/test_percpu.py", "tests/unit/test_options.py", "tests/unit/test_cma.py",
    "tests/unit/test_direct_map.py", "tests/unit/test_hugetlb.py", "tests/unit/test_reading.py",
    "tests/unit/test_tenants.py", "tests/unit/test_migration.py", "tests/unit/test_collapse.py",
    "tests/unit/test_machine.py", "tests/unit/test_commit.py", "tests/unit/test_validate.py",
    "tests/unit/test_pools.py", "tests/kernel/test_predict.py", "tests/contracts",
)  # fmt: skip
SECONDS = 1800.0  # that tests may take with a change


def configured(folder: Path) -> Path:
    """The tool's configuration, written into the clone."""
    environment = {"PYTHONPATH": folder, "NPROC": 1}
    tests = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
    words = ["env", *(f"{k}={v}" for k, v in environment.items()), sys.executable, *tests]
    file = folder / "mutants.toml"
    file.write_text(
        f"[cosmic-ray]\nmodule-path = {list(PARTS)!r}\ntimeout = {SECONDS}\nexcluded-modules = []\n"
        f"test-command = {shlex.join(map(str, words))!r}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    return file


def draw(session: Path, count: int, seed: int) -> int:
    """Keeps one change at each of so many places; returns how many places there were."""
    with sqlite3.connect(session) as database:
        rows = database.execute(
            "select module_path, start_pos_row, start_pos_col, operator_name, occurrence, job_id "
            "from mutation_specs order by 1, 2, 3, 4, 5"
        )
        places = defaultdict(list)
        for *place, _, _, job in rows:
            places[tuple(place)].append(job)
        rng = random.Random(seed)
        chosen = rng.sample(sorted(places), min(count, len(places)))
        kept = [rng.choice(places[place]) for place in chosen]
        marks = ", ".join("?" * len(kept))
        for table in ("mutation_specs", "work_items"):
            database.execute(f"delete from {table} where job_id not in ({marks})", kept)
    return len(places)


def told(session: Path) -> list[str]:
    """What came out, in sentences, and each change that no test noticed."""
    with sqlite3.connect(session) as database:
        found = database.execute(
            "select test_outcome, module_path, start_pos_row, diff from work_results "
            "join mutation_specs using (job_id) order by 2, 3"
        ).fetchall()
    outcomes = [outcome.lower() for outcome, *_ in found]
    caught = sum(outcome != "survived" for outcome in outcomes)
    share = statistics.share(caught, len(found))
    lines = [
        f"{caught} of {len(found)} changes were caught: {100 * share.mean:.0f} % "
        f"[{100 * share.low:.0f}, {100 * share.high:.0f}]"
    ]
    for outcome, (_, module, row, diff) in zip(outcomes, found, strict=True):
        if outcome == "survived":
            body = diff.splitlines()[2:]  # the names of the file come first
            changed = [line for line in body if line[:1] in ("+", "-")]
            lines += [f"{module}:{row}", *(f"    {line}" for line in changed)]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=60, help="places that are changed")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    folder, session = asked.folder.absolute(), asked.folder.absolute() / "mutants.sqlite"
    if not session.is_file():
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        run = ["cosmic-ray", "init", configured(folder), session]
        subprocess.run(run, cwd=folder, check=True)
        places = draw(session, asked.sample, asked.seed)
        print(f"{asked.sample} of {places} places", flush=True)
    subprocess.run(["cosmic-ray", "exec", "mutants.toml", session], cwd=folder, check=True)
    print("\n".join(told(session)))


if __name__ == "__main__":
    main()
