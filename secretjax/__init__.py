"""How should Linux back memory that is removed from the kernel's direct map?"""

__version__ = "0.1.0"
