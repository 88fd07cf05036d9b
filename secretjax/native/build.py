"""From the text of a module to machine code in memory.

The code refers to nothing outside of itself, so it is copied into memory as it is, without a
linker. It is kept, beside the programs of XLA, under a hash of what it was made from.
"""

import ctypes
import hashlib
import mmap
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax
import llvmlite
from llvmlite import binding as llvm

from secretjax.files import replacing

HASH = 32  # bytes in front of a file's code


@cache
def target() -> llvm.TargetMachine:
    """This machine's processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    found = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return found.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, reloc="pic", codemodel="small"
    )


def machine_code(text: str) -> bytes:
    """The module's code; its first function begins at its first byte."""
    machine = target()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    sections = llvm.ObjectFileRef.from_data(machine.emit_object(module)).sections()
    found = {}
    for section in sections:
        if section.size():
            found[section.name().decode()] = section.data()
    outside = [name for name in found if name.startswith((".rela.text", ".rodata", ".data"))]
    if outside:
        raise RuntimeError(f"native code that refers to {', '.join(outside)}")
    return found[".text"]


class Code:
    """Machine code that can be called."""

    def __init__(self, code: bytes):
        self.memory = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self.memory.write(code)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        # written first, executable from then on
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        if protect(self.address, len(code), mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "the system does not let memory be executed")


def compiled(key: str, text: Callable[[], str]) -> Code:
    """The code of a module, from the folder of compiled programs if it is there.

    key: whatever the text depends on.
    """
    machine = target()
    parts = (key, machine.triple, llvm.get_host_cpu_name(), llvmlite.__version__)
    features = llvm.get_host_cpu_features().flatten()
    name = hashlib.sha256("\n".join((*parts, features)).encode()).hexdigest()
    # JAX makes the attribute when it is imported
    folder = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if not folder:
        return Code(machine_code(text()))
    file = Path(folder) / "native" / f"{name}.bin"
    found = _kept(file)
    if found is None:
        found = machine_code(text())
        _keep(file, found)
    return Code(found)


def _kept(file: Path) -> bytes | None:
    """The code in a file; None if there is none, or not all of it."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    code = data[HASH:]
    return code if code and hashlib.sha256(code).digest() == data[:HASH] else None


def _keep(file: Path, code: bytes) -> None:
    """For the next time; a folder that takes nothing is as good as none."""
    try:
        with replacing(file) as part:
            part.write_bytes(hashlib.sha256(code).digest() + code)
    except OSError:
        return
