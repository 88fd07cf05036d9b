"""Who may have secret pages, and how many: one file each, found by looking here."""

import sys
from functools import cache

from secretjax.registry import discover, pick


@cache
def table() -> dict:
    """{name: class} of all admission rules."""
    return discover(sys.modules[__name__], "ADMISSION")


def names() -> list[str]:
    """Names of all admission rules, in alphabetical order."""
    return list(table())


def make(name: str, **options):
    """The admission rule `name` with these options; `UserError` if there is none."""
    return pick("admission", table(), name)(**options)


def __getattr__(attribute: str):
    if attribute == "ADMISSIONS":
        return table()
    raise AttributeError(attribute)
