"""`python -m tests.fuzz --inputs 100000`: every reader of files, given files that are not as meant.

Each input either is read or ends in one `UserError` of one line: no other exception, no more time
than `SECONDS`, no more memory than `MIB` beyond what the process had. Input N of a reader is made
from the seed N alone: `--only case --first N --inputs 1` makes it again, and `--keep DIR` keeps it.
"""

import argparse
import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.fuzz.harness import Found, many
from tests.fuzz.readers import READERS

CHUNK = 250  # inputs that a worker is given at once


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all")
    parser.add_argument("--first", type=int, default=0, help="seed of each reader's first")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=READERS, action="append")
    parser.add_argument("--keep", type=Path, help="folder for the inputs")
    given = parser.parse_args()
    chosen = {name: READERS[name][0] for name in given.only or READERS}
    total = {name: Found(name) for name in chosen}
    kinds: Counter[str] = Counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, context) as pool:
        tasks = []
        for name, weight in chosen.items():
            last = given.first + -(-given.inputs * weight // sum(chosen.values()))
            for at in range(given.first, last, CHUNK):
                tasks.append(pool.submit(many, name, at, min(CHUNK, last - at), given.keep))
        for task in as_completed(tasks):
            found = task.result()
            total[found.reader].add(found)
            for seed, bad in found.bad:
                kind = f"{found.reader}: {bad.strip().splitlines()[-1]}"
                kinds[kind] += 1
                if kinds[kind] == 1:
                    print(f"{found.reader}, seed {seed}: {bad}", flush=True)
    for one in total.values():
        refused = one.inputs - one.read - len(one.bad)
        print(
            f"{one.reader:<9} {one.inputs:>7} inputs, {one.read:>6} read, "
            f"{refused:>6} refused in a sentence, {len(one.bad):>4} bad; "
            f"slowest {one.slowest:.2f} s, at most {one.mib:.0f} MiB more"
        )
    print(f"{sum(one.inputs for one in total.values())} inputs, {kinds.total()} bad")
    return int(bool(kinds))


if __name__ == "__main__":
    sys.exit(main())
