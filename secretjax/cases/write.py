"""A start state into a file that `cases.read` reads."""

import json
from pathlib import Path

import numpy as np

from secretjax.cases.start import ARRAYS, FORMAT, ZONE_FIELDS, StartState
from secretjax.files import replacing


def write_start(path: str | Path, start: StartState) -> None:
    """A case without demands."""
    arrays = {name: getattr(start, name) for name in ARRAYS if hasattr(start, name)}
    small = {"list_order": np.uint8, "list_mt": np.uint8, "list_kind": np.uint8}
    small |= {"block_mt": np.uint8, "dm_level": np.uint8, "page_class": np.uint8}
    wide = {name: np.uint32 for name in ("list_pfn", "block_pfn", "dm_pfn", "dm_nonpresent")}
    arrays |= {k: np.asarray(arrays[k]).astype(t) for k, t in (small | wide).items()}
    arrays["page_classes"] = np.array(start.page_classes)
    arrays["settings"] = np.array(json.dumps(start.settings))
    arrays["format"] = np.array(FORMAT)
    arrays["zone_meta"] = np.array([start.zone[field] for field in ZONE_FIELDS], np.int64)
    with replacing(path) as temporary, open(temporary, "wb") as f:
        np.savez_compressed(f, **arrays)
