"""The points of a study on the workers of a Dask scheduler, the same bytes as on this machine.

Workers read the start states where this process would, so params and package lie on a file system
that all see; what they find comes back as a file's bytes and only this process writes. A worker
that is lost loses what it was computing, and the scheduler gives that to another.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from secretjax.errors import UserError
from secretjax.files import replacing
from secretjax.study import identity, memory, points

PATIENCE = 20  # seconds for the scheduler's first answer


def compute(
    missing: Mapping[str, points.Task],
    scheduler: str,
    state: int,
    gib: float | None,
    study: str,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Computes these and yields what is done, and where its time went.

    state: bytes of the study's largest state. gib: memory of each worker; None: its own limit.
    Raises `UserError` where there is no scheduler, or the workers have another source, or a
    point is refused; what is done stays.
    """
    dask = _library()
    with _client(dask, scheduler) as client:
        given = (state, gib, study, _source())
        futures = {
            client.submit(_there, task, *given, key=f"{what} {uuid.uuid4().hex}"): what
            for what, task in missing.items()
        }
        try:
            for future in dask.as_completed(futures, loop=client.loop):
                what = futures[future]
                split, found = _result(dask, future, what)
                with replacing(missing[what].file) as temporary:
                    temporary.write_bytes(found)
                future.release()
                yield what, split
        except BaseException:
            client.cancel(list(futures), force=True)
            raise


def _library() -> Any:
    try:
        import distributed
    except ImportError as e:
        raise UserError(
            "--cluster needs the package distributed, which is not here; install "
            "secretjax[cluster], or leave the option out to compute on this machine"
        ) from e
    return distributed


def _client(dask: Any, scheduler: str) -> Any:
    try:
        return dask.Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as e:
        raise UserError(
            f"--cluster {scheduler}: no Dask scheduler answers there ({type(e).__name__}); an "
            "address as tcp://node1:8786 is expected, which `dask scheduler` prints when it starts"
        ) from e


def _result(dask: Any, future: Any, what: str) -> tuple[dict[str, float], bytes]:
    try:
        return future.result()
    except UserError as e:
        raise UserError(f"{what}: {e}") from e
    except dask.KilledWorker as e:
        raise UserError(
            f"{what}: the workers that computed it were ended again and again, most likely for "
            "want of memory; give the command again to go on, with more memory a worker"
        ) from e
    except (dask.CancelledError, dask.comm.CommClosedError, TimeoutError) as e:
        raise UserError(
            f"{what}: the Dask scheduler is gone ({type(e).__name__}); start one and give the "
            "command again to go on"
        ) from e


@cache
def _source() -> str:
    """What the numbers depend on beside the params: equal here and there, or they may differ."""
    return identity.digest([identity.sources("."), identity.versions()])


def _there(
    task: points.Task, state: int, gib: float | None, study: str, source: str
) -> tuple[dict[str, float], bytes]:
    """On a worker: where the time went, and the bytes of the point's file."""
    from distributed import get_worker

    worker = get_worker()
    if _source() != source:
        raise UserError(
            f"the worker {worker.address} has another version of secretjax or of a library than "
            "the command; start the workers from the same environment"
        )
    os.environ.setdefault("NPROC", "1")  # before XLA starts: its threads lose more than they give
    most = worker.memory_manager.memory_limit if gib is None else memory.limit(gib)
    fit = memory.share(state, most or memory.limit(None), 1, study)
    with tempfile.TemporaryDirectory() as folder:
        mine = replace(task, file=Path(folder) / task.file.name)
        return points.timed(mine, fit.lanes), mine.file.read_bytes()
