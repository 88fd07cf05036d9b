"""What captures of a kernel cover, and how it is said where something is shown that none does."""

from typing import Any

from secretjax import metrics

MARK = "\N{DAGGER}"
WORDS = "not validated against a kernel"
NOTE = f"{MARK} {WORDS}"


def marked(text: str, validated: bool) -> str:
    """The text, with the mark behind it if no capture covers what it names."""
    return text if validated else text + MARK


def cpus(count: int) -> str:
    """A number of CPUs; the captures have one."""
    return "1 CPU" if count == 1 else marked(f"{count} CPUs", False)


def measure(label: str, metric: str) -> str:
    """The label of a metric, marked if no capture shows what it tells of."""
    known = metrics.table().get(metric)
    return marked(label, known.seen if known else metric != "ipis")  # the captures have one CPU


def sentence(plugin: Any) -> str:
    """What covers a proposal: its options at their defaults, some options only, or nothing.

    Likewise of an admission rule, a demand or a metric; "" of what only shows, as a figure.
    """
    if not getattr(plugin, "seen", True):
        return f"{WORDS.capitalize()}."
    captures = getattr(plugin, "captures", None)
    if captures is None:
        return ""
    if not captures:
        return f"{WORDS.capitalize()}."
    cases = ", ".join(f"`{case}`" for case in captures)
    plain, ran = plugin(), getattr(plugin, "captured", {})
    if getattr(plain, "validated", True):
        return f"Validated against a kernel, cases {cases}."
    but = ", ".join(
        f"`{k}: {str(value).lower()}`" for k, value in ran.items() if value != getattr(plain, k)
    )
    return f"{WORDS.capitalize()}, except with {but} (cases {cases})."
