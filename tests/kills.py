"""A study killed at random moments, and run again until it ends: are its bytes the same?

    python -m tests.kills --times 20

runs a small real study once without a break, then anew, killed (SIGKILL, its processes with it) so
many times at moments drawn over the time that the whole of it took, and compares all files
whenever it has ended.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.study_fakes import tree

ROOT = Path(__file__).parents[1]
SMALL = ("states=2", "kernel_cases=[f_thp_s1]", "notebooks=[00_start_here, 20_direct_map]")


def started(results: Path) -> subprocess.Popen[bytes]:
    """The study in a group of processes of its own."""
    command = [sys.executable, "-m", "secretjax.cli", "run", str(ROOT / "params" / "smoke.yaml")]
    command += [word for assignment in SMALL for word in ("--set", assignment)]
    command += ["--jobs", "2", "--results", str(results), "--site", str(results.parent / "site")]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True)


def finished(process: subprocess.Popen[bytes], results: Path) -> dict[str, str]:
    """Digests of all its files once it has ended by itself."""
    if (code := process.wait()) != 0:
        sys.exit(f"the study ended with {code}")
    (manifest,) = results.glob("*/*/manifest.json")
    return tree(manifest.parent)


def killed(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kills it after so long; False where it has ended before."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng, times, ends = random.Random(asked.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        results, begin = Path(folder) / "results", time.monotonic()
        whole = finished(started(results), results)
        seconds = time.monotonic() - begin
        print(f"{len(whole)} files in {seconds:.0f} s without a break", flush=True)
        shutil.rmtree(results)
        while times < asked.times or results.exists():
            process, moment = started(results), rng.uniform(0, seconds)
            if times < asked.times and killed(process, moment):
                times += 1
                print(f"killed after {moment:.1f} s", flush=True)
                continue
            found, ends = finished(process, results), ends + 1
            if other := sorted(n for n in whole | found if whole.get(n) != found.get(n)):
                sys.exit(f"other bytes after {times} kills: {', '.join(other)}")
            shutil.rmtree(results)
    print(f"killed {times} times, ended {ends} times, always with the same bytes")


if __name__ == "__main__":
    main()
