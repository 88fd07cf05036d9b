"""RLIMIT_MEMLOCK of each process, checked at mmap: the rule of 5.14."""

from dataclasses import dataclass

from secretjax.admission.base import Limited, Limits


@dataclass(frozen=True)
class MemlockMm(Limited):
    """mmap fails with -EAGAIN when one process's mapped secret memory would pass the limit.

    secretmem_mmap() asks mlock_future_ok(): the length counts in mm->locked_vm at once, touched or
    not, and for this mm alone, so n processes of a user get n limits. A fault checks nothing.
    `limit_kib` is RLIMIT_MEMLOCK, 8 MiB by default since Linux 5.16 (MLOCK_LIMIT).

    Not modelled: CAP_IPC_LOCK, which passes every limit; other locked memory; a file descriptor
    that outlives its mapping.
    """

    name = "memlock_mm"
    label = "RLIMIT_MEMLOCK per process"
    source = (
        "mm/secretmem.c: secretmem_mmap(), mm/mmap.c: mlock_future_ok(), Linux 5.14 to 6.12.112"
    )
    slot = 2
    limit_kib: int = 8192

    def limits(self, total, users):
        return Limits(mm=self.limit_kib // 4)


ADMISSION = MemlockMm
