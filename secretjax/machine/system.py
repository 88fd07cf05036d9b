"""The system calls of the probe, apart so that tests can stand in for a kernel."""

import ctypes
import mmap
import os
import resource
import time
from pathlib import Path

import numpy as np
from jaxtyping import Int64

MEMFD_SECRET = 447  # x86-64 and every other architecture that has it
PAGE = mmap.PAGESIZE
ABSENT = -1


class System:
    """This machine. Every method raises OSError as the kernel does."""

    def memfd_secret(self) -> int:
        """A file descriptor; ENOSYS where the kernel has no secret memory or has it off."""
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.syscall(ctypes.c_long(MEMFD_SECRET), ctypes.c_uint(os.O_CLOEXEC))
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return fd

    def memfd(self) -> int:
        """A file descriptor of ordinary memory."""
        return os.memfd_create("secretjax", os.MFD_CLOEXEC)

    def map(self, fd: int, pages: int) -> mmap.mmap:
        """So many pages of a file, shared; fd -1: anonymous memory, in small pages."""
        if fd >= 0:
            os.ftruncate(fd, pages * PAGE)
            return mmap.mmap(fd, pages * PAGE, mmap.MAP_SHARED)
        memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        return memory

    def touch(self, memory: mmap.mmap, pages: int) -> Int64[np.ndarray, " pages"]:
        """Writes a byte to each page in order; ns that each took, the clock's own included."""
        clock, spent = time.perf_counter_ns, np.zeros(pages, np.int64)
        for page in range(pages):
            begin = clock()
            memory[page * PAGE] = 1
            spent[page] = clock() - begin
        return spent

    def pfns(self, memory: mmap.mmap, pages: int) -> Int64[np.ndarray, " pages"]:
        """Page frames behind a mapping, ABSENT where unknown (Documentation: pagemap.rst)."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            file.seek(address // PAGE * 8)
            words = np.frombuffer(file.read(8 * pages), np.uint64)
        frame = (words & np.uint64((1 << 55) - 1)).astype(np.int64)
        present = (words >> np.uint64(63)) == 1
        return np.where(present & (frame > 0), frame, ABSENT)

    def close(self, fd: int) -> None:
        """Gives the file up."""
        os.close(fd)

    def locked_limit(self) -> int:
        """Bytes that this process may lock; -1: any."""
        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        free = soft == resource.RLIM_INFINITY or self.may_lock_any()
        return -1 if free else soft

    def may_lock_any(self) -> bool:
        """CAP_IPC_LOCK (bit 14 of the effective capabilities)."""
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> 14 & 1)
        return False
