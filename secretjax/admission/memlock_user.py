"""RLIMIT_MEMLOCK of each user, checked at every fault: the rule of September 2026."""

from dataclasses import dataclass

from secretjax.admission.base import Limited, Limits


@dataclass(frozen=True)
class MemlockUser(Limited):
    """A fault ends in SIGBUS when the user's touched secret pages would pass the limit.

    Each page is charged to user->locked_vm when it is allocated and uncharged when it is freed, so
    all processes of a user share one limit and mmap checks nothing.

    Not modelled: CAP_IPC_LOCK, which passes every limit; other locked memory; the page that is
    allocated before the check and freed after it (it never leaves the direct map).
    """

    name = "memlock_user"
    label = "RLIMIT_MEMLOCK per user"
    source = "mm/secretmem.c: secretmem_fault(), accounting of September 2026 (6.12.113, 7.3-rc2)"
    slot = 3
    limit_kib: int = 8192

    def limits(self, total, users):
        return Limits(held=self.limit_kib // 4)


ADMISSION = MemlockUser
