"""What a metric is: one whole number read off a `Reading`."""

from collections.abc import Callable
from dataclasses import dataclass

from secretjax.mm.reading import Reading
from secretjax.mm.state import Word


@dataclass(frozen=True)
class Metric:
    """A named number of one state.

    name      as in the tables
    label     for people, without unit
    unit      "pages", "pageblocks", "of 1000", ...
    better    "lower", "higher", or None where neither is
    source    the kernel's counter or formula, or who asked for it
    read      Reading -> Int32 scalar, the kernel's integer rules
    counter   counted from the first measuring point on, which shows 0
    seen      False: no captured kernel did what it tells of, under any proposal
    """

    name: str
    label: str
    unit: str
    better: str | None
    source: str
    read: Callable[[Reading], Word]
    counter: bool = False
    seen: bool = True
