"""How long a study will take, said before it begins.

Seconds of one processor, measured in CPU time on an AMD EPYC (Zen 4 or 5, 2 cores) with native
code: medians over arms, of which those whose pool compacts at each fault take several times as
much. Other machines differ by a factor of two, other engines by more.
"""

from secretjax.study.params import Params

POINT = 2.0  # an arm under a demand: its code is compiled, its start states are read
STATE = {  # one state of 512 MiB under it, by the kind of the demand
    "growth": 0.045,
    "small_files": 0.06,
}
OTHER = 0.06  # a demand that is not there
CASE = 0.04  # a state of a captured case, and the case itself
NOTEBOOK = 14.0
AGED = 0.0006  # an aged state, for each of its pageblocks


def seconds(study: Params) -> float:
    """Of one processor."""
    own = [POINT + study.states * STATE.get(d.kind, OTHER) for d in study.demands]
    cases = len(study.kernel_files()) * (POINT + study.kernel_states * CASE)
    aged = sum(item.states * item.pages * AGED for item in study.ageing)
    return len(study.arms) * sum(own) + cases + aged + NOTEBOOK * len(study.notebooks)


def told(study: Params, jobs: int) -> str:
    """The sentence."""
    each = seconds(study) / 60
    minutes = each / jobs
    return (
        f"{study.name}: {len(study.points())} points of {study.states} states, "
        f"{len(study.kernel_files())} captured cases, {len(study.notebooks)} notebooks: about "
        f"{minutes:.0f} minutes with {jobs} processes, if each has a core of its own; less what is "
        "done already"
    )
