"""The claims: a file a subject with `CLAIMS`, found by looking here."""

import sys
from functools import cache

from secretjax.registry import discover
from secretjax.show.claims.base import Claim


@cache
def table() -> dict[str, Claim]:
    """{id: claim}, H1 first."""
    found = discover(sys.modules[__name__], "CLAIMS")
    every = {claim.id: claim for claims in found.values() for claim in claims}
    return dict(sorted(every.items(), key=lambda item: int(item[0][1:])))
