"""How should Linux back memory that is removed from the kernel's direct map?"""

import hashlib
import os
import platform
from pathlib import Path

__version__ = "0.1.0"

# XLA:CPU makes one native function of a loop whose arrays are below this size, and walks through
# some 300 small ones for each step of any other: 15 us against 0.8 for a single state. XLA reads
# its flags when it starts; those of the user come last and win.
_ONE_FUNCTION = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000000"
if "xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{_ONE_FUNCTION} {os.environ.get('XLA_FLAGS', '')}".strip()


def _compiled() -> str | None:
    """The user's own folder of compiled programs for this kind of CPU; None if there can be none.

    What is in it is run as it is: so nobody else may write there, and a home that machines with
    other CPUs share has a folder for each kind.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        told = [platform.machine(), platform.processor()]
    kind = hashlib.sha256("\n".join(sorted(set(told))).encode()).hexdigest()[:12]
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "secretjax" / f"compiled-{kind}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    own = found.st_uid == os.getuid() and not found.st_mode & 0o022
    return str(folder) if own else None


if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    try:
        _folder = _compiled()
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        _folder = None
    if _folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = _folder
