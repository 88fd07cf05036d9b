"""Numbers read off a state: families of metrics, one file each, found by looking here."""

import sys
from functools import cache

from secretjax.errors import UserError
from secretjax.metrics.base import Metric
from secretjax.registry import discover


@cache
def table() -> dict[str, Metric]:
    """{name: metric} of all families; `UserError` where two share a name."""
    found: dict[str, Metric] = {}
    for family, metrics in discover(sys.modules[__name__], "METRICS").items():
        for metric in metrics:
            if metric.name in found:
                raise UserError(
                    f"secretjax.metrics.{family}: a metric '{metric.name}' exists already"
                )
            found[metric.name] = metric
    return found


def __getattr__(attribute: str):
    if attribute == "METRICS":
        return table()
    raise AttributeError(attribute)
