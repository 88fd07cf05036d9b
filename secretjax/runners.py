"""What takes states on: native code on a CPU, or else a program of XLA; the bits are the same.

XLA's programs serve accelerators, several devices, other processors, and plug-ins with rules that
native code cannot do. The environment's `SECRETJAX_ENGINE` asks for one of them by name.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial

import jax

from secretjax import clock, flow, xla
from secretjax.admission.base import Admission
from secretjax.errors import UserError
from secretjax.flow import LIMIT, Flow, Seen, Task
from secretjax.mm.state import Zone
from secretjax.native import program
from secretjax.native.run import Native, usable
from secretjax.native.trace import CannotTrace
from secretjax.proposals.base import Proposal
from secretjax.rules import Rules

ENGINES = ("native", "xla")


class Xla:
    """By a compiled program of XLA. Both methods raise `UserError` as `flow.late` says."""

    def __init__(self, run: Callable):
        self.run = run

    def to_stop(self, zones: Zone, own, tables, limit: int = LIMIT) -> tuple:
        """Zones and registers of a block of states at `own.stop`, the scripts being `tables`."""
        return flow.run_to_stop(self.run, zones, own, tables, limit)

    def flow(self, tasks: Iterable[Task], lanes: int) -> Iterator[Seen]:
        """States at each of their stops, at most so many at a time."""
        return iter(Flow(self.run, tasks, lanes))


Runner = Xla | Native


@cache
def of_arm(proposal: Proposal, admission: Admission, pages: int) -> Runner:
    """States under a proposal and a rule; admission: its `program()`."""
    made = partial(_native, proposal, admission)
    return _chosen(made) or Xla(xla.program_runner(proposal, admission, pages))


@cache
def _native(proposal: Proposal, admission: Admission) -> Native:
    """One for zones of all sizes."""
    return Native(program.of_arm(Rules(proposal, admission)))


@cache
def of_stream(pages: int) -> Runner:
    """Recorded streams."""
    return _chosen(lambda: Native(program.of_stream())) or Xla(xla.stream_runner(pages))


def _chosen(made: Callable) -> Native | None:
    """Native code, unless another engine is asked for or must be used."""
    wanted = os.environ.get("SECRETJAX_ENGINE", "native")
    if wanted not in ENGINES:
        raise UserError(
            f"SECRETJAX_ENGINE: '{wanted}' is no engine; it is one of {', '.join(ENGINES)}"
        )
    alone = jax.default_backend() == "cpu" and jax.local_device_count() == 1
    if wanted == "xla" or not alone or not usable():
        return None
    try:
        with clock.spent("compile"):
            return made()
    except CannotTrace:
        return None
    except OSError as e:  # a system may forbid it
        warnings.warn(f"no native code here, XLA's programs are slower: {e}", stacklevel=2)
        return None
