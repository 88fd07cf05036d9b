"""One way to back secret memory, as a params file names it: a proposal behind an admission."""

from typing import Annotated, Any

from pydantic import Field

from secretjax.cases.start import Collapsing, Entry, Mapped, Rules
from secretjax.study import plugins
from secretjax.study.costs import Flush, Zeroing
from secretjax.study.strict import Strict

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}$")]
Options = Annotated[dict[str, Any], Field(default_factory=dict)]


class Kernel(Strict):
    """What the kernel is like that an arm runs on. Only `rules` is validated by captures.

    rules     fallback of the allocator (cases.start.Rules); null: of the start state's own
    mapping   of secret files. unevictable: AS_UNEVICTABLE, their pages are on the unevictable LRU
              list, from where compaction isolates them in vain (mm/secretmem.c); inaccessible: it
              does not even do that, AS_INACCESSIBLE, as guest_memfd (mm/compaction.c:
              isolate_migratepages_block)
    collapse  of 2 MiB entries that the run split: never, free, scan (mm/collapse.py)
    entries   of the direct map at the start, all of one size, 4K, 2M or 1G; null: as the case has
              them. 4K: arm64 with rodata=full, where nothing is ever split; its broadcast flushes
              need no IPIs, which costs do not know
    flush     how the TLB is flushed, see study/costs.py: range, full, lazy
    zeroing   when a page that held a secret is cleared, see there: fault, free, destruction
    """

    rules: Rules | None = None
    mapping: Mapped = "unevictable"
    collapse: Collapsing = "never"
    entries: Entry | None = None
    flush: Flush = "range"
    zeroing: Zeroing = "fault"


KERNEL = Kernel()


class Arm(Kernel):
    """One way to back secret memory: a proposal behind an admission, each with its options.

    name               as figures and tables call it
    proposal           file in secretjax/proposals
    admission          file in secretjax/admission
    options            of the proposal
    admission_options  of the admission rule
    """

    name: Name
    proposal: str
    admission: str = "none"
    options: Options
    admission_options: Options

    @property
    def validated(self) -> bool:
        """Whether captures cover it: a proposal as a captured kernel ran it, alone."""
        alone = self.admission == "none" and not unlike_default(self).keys() - {"rules"}
        return alone and plugins.make("proposal", self.proposal, self.options).validated


def spelled_out(given: Any) -> Any:
    """`all` and `proposal+admission@rules@key-value` as mappings; anything else as it is."""
    if given == "all":
        proposals = plugins.table("proposal")
        reserve = "reservation" in plugins.table("admission")
        given = []
        for name in sorted(proposals, key=lambda n: (proposals[n].slot, n)):
            given.append(name)
            if reserve and getattr(proposals[name], "pool", False):
                given.append(f"{name}+reservation")
    if not isinstance(given, list):
        return given
    return [_spelled_out(item) if isinstance(item, str) else item for item in given]


def _spelled_out(text: str) -> dict[str, str]:
    whole, *kernel = text.split("@")
    proposal, _, admission = whole.partition("+")
    arm = {"proposal": proposal, "admission": admission or "none"}
    for word in kernel:
        key, _, value = word.partition("-")
        arm |= {key: value} if key in Kernel.model_fields else {"rules": word}
    return arm


def unlike_default(arm: Kernel | dict[str, Any]) -> dict[str, str]:
    """{key of `Kernel`: value} of what an arm says of its kernel, as far as it is no default."""
    given = arm if isinstance(arm, dict) else arm.model_dump()
    default = KERNEL.model_dump()
    return {k: given[k] for k in default if given.get(k, default[k]) != default[k]}


def plain_name(proposal: str, admission: str, kernel: dict[str, str]) -> str:
    """What an arm is called that has no name of its own; kernel: see `unlike_default`."""
    whole = proposal + ("" if admission == "none" else f"+{admission}")
    return whole + "".join(f"@{v}" if k == "rules" else f"@{k}-{v}" for k, v in kernel.items())
