"""Reading any case."""

import re
from pathlib import Path

from secretjax.cases.archive import REMAKE, Archive
from secretjax.cases.predict import PredictCase, read_predict
from secretjax.cases.replay import ReplayCase, read_replay
from secretjax.cases.start import ARRAYS, StartState, read_start
from secretjax.errors import UserError, suggestion

DEMANDS = {("req", "snapshot"): read_replay, ("ops",): read_predict}


def read(path: str | Path) -> StartState | ReplayCase | PredictCase:
    """A checked case. Raises UserError, one sentence, for a file that is not one.

    A file without demands (what `secretjax age` writes) gives its StartState alone.
    """
    name = re.sub(r"(\.replay|\.predict)?\.npz$", "", Path(path).name)
    try:
        with Archive(path) as archive:
            return _read(archive, name)
    except UserError as error:
        printable = "".join(c if c.isprintable() else "?" for c in f"{path}: {error}")
        raise UserError(printable) from error


def start_of(case: StartState | ReplayCase | PredictCase) -> StartState:
    """The memory that a case begins with."""
    return case if isinstance(case, StartState) else case.start


def _read(archive: Archive, name: str) -> StartState | ReplayCase | PredictCase:
    start = read_start(archive, name)
    more = [array for array in archive.names if array not in ARRAYS]
    if not more:
        return start
    for arrays, reader in DEMANDS.items():
        if arrays[0] in more:
            extra = [array for array in more if array not in arrays]
            if extra:
                raise UserError(
                    f"holds array '{extra[0][:60]}' beside '{arrays[0]}', "
                    f"{suggestion(extra[0], (*ARRAYS, *arrays))}; {REMAKE}"
                )
            return reader(archive, start)
    known = suggestion(more[0], (*ARRAYS, "req", "snapshot", "ops"))
    raise UserError(f"holds array '{more[0][:60]}', which no case has; {known}")
