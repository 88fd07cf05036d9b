"""What captures of a kernel cover, and how it is said where something is shown that none does."""

from secretjax.proposals.base import Proposal

MARK = "\N{DAGGER}"
WORDS = "not validated against a kernel"
NOTE = f"{MARK} {WORDS}"
METRICS = ("split_1g", "dm_1g_split", "dm_1g_entries", "ipis")  # what no capture shows of any arm


def marked(text: str, validated: bool) -> str:
    """The text, with the mark behind it if no capture covers what it names."""
    return text if validated else text + MARK


def cpus(count: int) -> str:
    """A number of CPUs; the captures have one."""
    return "1 CPU" if count == 1 else marked(f"{count} CPUs", False)


def sentence(proposal: type[Proposal]) -> str:
    """What covers a proposal: its options at their defaults, some options only, or nothing."""
    plain, ran = proposal(), proposal.captured
    if not proposal.captures:
        return f"{WORDS.capitalize()}."
    cases = ", ".join(f"`{case}`" for case in proposal.captures)
    if plain.validated:
        return f"Validated against a kernel, cases {cases}."
    but = ", ".join(
        f"`{k}: {str(value).lower()}`" for k, value in ran.items() if value != getattr(plain, k)
    )
    return f"{WORDS.capitalize()}, except with {but} (cases {cases})."
