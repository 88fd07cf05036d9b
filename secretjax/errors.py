"""The one exception that a user is meant to read."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """One sentence for the user: where, what was found, what is allowed, the likely fix."""


def suggestion(found: str, known: Iterable[str]) -> str:
    """The end of such a sentence: the nearest known name, if any, then all known names."""
    known = sorted(known)
    near = difflib.get_close_matches(found, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}known here: {', '.join(known)}"
