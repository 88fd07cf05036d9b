"""Figures: one file each with `FIGURE = draw`, found by looking here.

draw(study) takes a `secretjax.show.notebook.Study` and returns a Matplotlib figure, or None when
the study has nothing for it.
"""

import sys
from functools import cache

from secretjax.registry import discover


@cache
def table() -> dict:
    """{name: draw} of all figures."""
    return discover(sys.modules[__name__], "FIGURE")
