"""How should Linux back memory that is removed from the kernel's direct map?"""

import os

__version__ = "0.1.0"

# XLA:CPU makes one native function of a loop whose arrays are below this size, and walks through
# some 300 small ones for each step of any other: 15 us against 0.8 for a single state. XLA reads
# its flags when it starts; those of the user come last and win.
_ONE_FUNCTION = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000000"
if "xla_backend_extra_options" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{_ONE_FUNCTION} {os.environ.get('XLA_FLAGS', '')}".strip()
