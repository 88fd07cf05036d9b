"""How fast states go, beside what else one could write, on the same requests to the same lists.

`streams` makes a zone and requests, `sides` are the contenders, `report` measures them in turns
and writes what `figures` draws. The scalar peer in C is `peer` with benchmarks/buddy.c.
"""
