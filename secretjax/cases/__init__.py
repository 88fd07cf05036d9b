"""Cases: what a model is given of a kernel's run, and what it answers. Format "secretjax-case/1".

A start state is one zone at one moment, as a kernel had it: its free lists in list order, the types
of its pageblocks, what each page was used for, its direct map. A replay case adds buddy-level
requests, a predict case operations of programs.
"""

from secretjax.cases.predict import PredictCase, write_predict
from secretjax.cases.reader import read, start_of
from secretjax.cases.replay import ReplayCase, write_replay
from secretjax.cases.start import CLASSES, MOVABLE_CLASSES, ZONE_FIELDS, StartState
from secretjax.cases.write import write_start

__all__ = [
    "CLASSES",
    "MOVABLE_CLASSES",
    "ZONE_FIELDS",
    "PredictCase",
    "ReplayCase",
    "StartState",
    "read",
    "start_of",
    "write_predict",
    "write_replay",
    "write_start",
]
