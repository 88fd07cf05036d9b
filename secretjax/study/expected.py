"""How long a study will take, said before it begins.

CPU seconds of one core of an AMD EPYC with vectors of 512 bits, measured with native code on states
of 512 MiB (8 beside 1 state, in one process, while others used the machine): the median of four
arms. A pool without room that compacts at each fault takes up to 30 times as much.
"""

from secretjax import cases
from secretjax.study.params import Params

PAGES = 1 << 17  # of the states that were measured; time grows with them
STATE = {
    "growth": 0.03,
    "small_files": 0.02,
    "adversary": 0.04,
    "tenants": 0.013,
    "guests": 0.06,
    "microvms": 0.04,
}
OTHER = max(STATE.values())  # a demand that is not there
POINT = 1.5  # an arm under a demand: its rules are compiled, its start states are read
CASE, CASE_STATE = 0.5, 0.03  # a captured case, and each of its states if it is to be predicted
AGED = 6e-6  # an aged state, for each of its pages
NOTEBOOK = 12.0


def seconds(study: Params) -> float:
    """CPU seconds of one core."""
    starts = [cases.read(path) for path in study.start_files().values()]
    zones = [cases.start_of(case).zone for case in starts]
    size = max(zone["managed"] for zone in zones) / PAGES
    points = sum(
        STATE.get(demand.kind, OTHER) * study.states * size + POINT for _, demand in study.points()
    )
    files = study.kernel_files()
    predicted = sum(file.name.endswith(".predict.npz") for file in files)
    kernel = len(files) * CASE + predicted * CASE_STATE * study.kernel_states
    aged = sum(item.states * item.pages * AGED for item in study.ageing)
    return points + kernel + aged + NOTEBOOK * len(study.notebooks)


def told(study: Params, jobs: int) -> str:
    """The sentence."""
    minutes = max(seconds(study) / 60 / jobs, 1)
    return (
        f"{study.name}: {len(study.points())} points of {study.states} states, "
        f"{len(study.kernel_files())} captured cases, {len(study.notebooks)} notebooks: about "
        f"{minutes:.0f} min on {jobs} free {'core' if jobs == 1 else 'cores'}, less what is done"
    )
