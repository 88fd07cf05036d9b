"""The one exception that a user is meant to read."""

import difflib
from collections.abc import Iterable

LONGEST = 2000  # characters


class UserError(ValueError):
    """One sentence for the user: where, what was found, what is allowed, the likely fix.

    It is one line, whatever it quotes.
    """

    def __init__(self, sentence: str):
        text = " ".join(sentence.split())
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ...")


def suggestion(found: str, known: Iterable[str]) -> str:
    """The end of such a sentence: the nearest known name, if any, then all known names."""
    known = sorted(known)
    near = difflib.get_close_matches(found, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}known here: {', '.join(known)}"
