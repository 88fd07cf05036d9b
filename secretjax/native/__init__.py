"""States on a CPU by native code, made from the same rules as the programs of XLA.

The step (`mm.machine.bare`) and the rules of an arm (`rules.Rules`) are traced by JAX, folded for
each kind of step and each op of a script, and compiled by LLVM. So a state does the work of its own
step and nothing else, and no lane waits for another; the bits are those of XLA's programs, which a
test holds. Order of reading: graph, trace, lane, zone and program, branch, emit, build, run.
"""
