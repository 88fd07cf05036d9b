"""How secret pages are obtained, kept and given back: one file each, found by looking here."""

import sys
from functools import cache

from secretjax.registry import discover, pick


@cache
def table() -> dict:
    """{name: class} of all proposals."""
    return discover(sys.modules[__name__], "PROPOSAL")


def names() -> list[str]:
    """Names of all proposals, in alphabetical order."""
    return list(table())


def make(name: str, **options):
    """The proposal `name` with these options; `UserError` if there is none."""
    return pick("proposal", table(), name)(**options)


def __getattr__(attribute: str):
    if attribute == "PROPOSALS":
        return table()
    raise AttributeError(attribute)
