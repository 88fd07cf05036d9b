"""The project's own params, notebooks, published run and docs: in a checkout beside the package, in
an installed package within it.
"""

import shutil
from pathlib import Path

from secretjax.errors import UserError

PACKAGE = Path(__file__).parent
SHIPPED = PACKAGE / "shipped"  # made by the build, see pyproject.toml
PARTS = ("params", "notebooks", "results/published")
HALF = ".init.part"
LOCAL = ("machines", "__pycache__", ".ipynb_checkpoints")  # in a checkout, but its owner's


def folder() -> Path:
    """Where `PARTS` are, and `docs`."""
    return SHIPPED if SHIPPED.is_dir() else PACKAGE.parent


def init(target: Path) -> None:
    """Copies `PARTS` into the folder `target`, which is made if need be.

    On any error nothing of it stays. Raises `UserError` if there is something in `target`.
    """
    made = not target.exists()
    _refuse(target)
    half = target / HALF
    half.mkdir(parents=True)
    placed = []
    try:
        for part in PARTS:
            skipped = shutil.ignore_patterns(*LOCAL)
            shutil.copytree(folder() / part, half / part, ignore=skipped)
        for part in sorted({part.partition("/")[0] for part in PARTS}):
            placed.append((half / part).rename(target / part))
        half.rmdir()
    except BaseException:
        for left in (half, *placed, *([target] if made else [])):
            shutil.rmtree(left, ignore_errors=True)
        raise


def _refuse(target: Path) -> None:
    if target.is_symlink() and not target.exists():
        raise UserError(f"{target}: a link to nothing; name a new or an empty folder")
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file; name a new or an empty folder")
    found = sorted(path.name for path in target.iterdir()) if target.is_dir() else []
    if HALF in found:
        raise UserError(
            f"{target}: holds {HALF}, so an earlier `secretjax init` was stopped there; "
            "remove the folder or name another"
        )
    if found:
        raise UserError(
            f"{target}: holds {found[0]}{' and more' if found[1:] else ''}, but only a new or an "
            "empty folder is filled; name another"
        )
