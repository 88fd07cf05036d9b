"""Request streams: one file each, found by looking here."""

import sys
from functools import cache

from secretjax.registry import discover, pick


@cache
def table() -> dict:
    """{name: class} of all workloads."""
    return discover(sys.modules[__name__], "WORKLOAD")


def names() -> list[str]:
    """Names of all workloads, in alphabetical order."""
    return list(table())


def make(name: str, **options):
    """The workload `name` with these options; `UserError` if there is none."""
    return pick("workload", table(), name)(**options)


def __getattr__(attribute: str):
    if attribute == "WORKLOADS":
        return table()
    raise AttributeError(attribute)
