"""What a function of JAX computes, as expressions of a graph.

Scalars become expressions at once. An array is a function from an index to an expression, so
nothing of it is computed but what is asked for. Primitives that are not here raise `CannotTrace`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from itertools import product

import jax
import numpy as np

from secretjax.native.graph import BOOL, INT, UINT, Graph

TYPES = {"bool": BOOL, "int32": INT, "uint32": UINT}
BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor",
    "max": "max", "min": "min", "div": "div", "rem": "rem", "eq": "eq", "lt": "lt", "le": "le",
    "shift_left": "shl", "shift_right_arithmetic": "shr", "shift_right_logical": "lshr",
}  # fmt: skip
UNARY = {"not": "not", "clz": "clz", "population_count": "popcount"}
INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}
REDUCED = {
    "reduce_sum": "add", "reduce_max": "max", "reduce_min": "min",
    "reduce_and": "and", "reduce_or": "or",
}  # fmt: skip


ELEMENTWISE = {
    name: lambda trace, _, *args, op=op: trace.graph.make(op, *args)
    for name, op in (BINARY | UNARY).items()
}
ELEMENTWISE |= {
    "ne": lambda trace, _, a, b: trace.graph.make("not", trace.graph.make("eq", a, b)),
    "gt": lambda trace, _, a, b: trace.graph.make("lt", b, a),
    "ge": lambda trace, _, a, b: trace.graph.make("le", b, a),
    "neg": lambda trace, type_, a: trace.graph.make("sub", trace.graph.const(0, type_), a),
    "sign": lambda trace, type_, a: trace.clamped(-1, a, 1),
    "select_n": lambda trace, _, when, no, yes: trace.graph.select(when, yes, no),
    "clamp": lambda trace, _, low, a, high: trace.graph.make(
        "min", trace.graph.make("max", a, low), high
    ),
    "convert_element_type": lambda trace, type_, a: trace.converted(type_, a),
}


class CannotTrace(Exception):
    """A rule uses what native code cannot do; XLA can."""


@dataclass(frozen=True)
class Lazy:
    """An array. at: from one expression a dimension to the element there."""

    shape: tuple[int, ...]
    type: str
    at: Callable


@dataclass(frozen=True)
class Memory:
    """Words that a lane has elsewhere, row by row; `size` is the word of its row that counts them.

    The length that it has when it is traced, `shape[0]`, stands for `size` wherever it occurs, and
    one less for one less.
    """

    name: str
    shape: tuple[int, ...]
    size: str | None = None


class Trace:
    """Traces functions into one graph."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.sizes: dict[int, int] = {}  # lengths that stand for words of the row

    def __call__(self, function: Callable, *trees):
        """The tree that `function` returns, of expressions and `Lazy` arrays.

        trees: arguments, of expressions (int), `Memory` and `Lazy` arrays.
        """
        leaves, treedef = jax.tree.flatten(trees)
        shapes = [self._shape(leaf) for leaf in leaves]
        flat = lambda *args: function(*jax.tree.unflatten(treedef, args))  # noqa: E731
        closed, out = jax.make_jaxpr(flat, return_shape=True)(*shapes)
        values = [self._array(x) if isinstance(x, Memory) else x for x in leaves]
        found = self._run(closed.jaxpr, closed.consts, values)
        return jax.tree.unflatten(jax.tree.structure(out), found)

    def _shape(self, leaf) -> jax.ShapeDtypeStruct:
        if isinstance(leaf, int):
            type_, shape = self.graph.type(leaf), ()
        else:
            type_, shape = getattr(leaf, "type", INT), leaf.shape
        return jax.ShapeDtypeStruct(shape, {BOOL: "bool", INT: "int32", UINT: "uint32"}[type_])

    def _array(self, memory: Memory) -> Lazy:
        if memory.size is not None:
            size, length = self.graph.var(memory.size), memory.shape[0]
            self.sizes[length] = size
            self.sizes[length - 1] = self.graph.make("sub", size, self.graph.const(1))
        index = lambda *at: self.graph.load(memory.name, self._flat(memory.shape, at))  # noqa: E731
        return Lazy(memory.shape, INT, index)

    def _flat(self, shape, at) -> int:
        """Place in row-major order."""
        make, const = self.graph.make, self.graph.const
        flat = const(0)
        for length, index in zip(shape, at, strict=True):
            flat = make("add", make("mul", flat, const(length)), index)
        return flat

    def _run(self, jaxpr, consts, args) -> list:
        known = dict(zip(jaxpr.invars, args, strict=True))
        known |= {v: self._constant(c) for v, c in zip(jaxpr.constvars, consts, strict=True)}

        def read(v):
            return self._constant(v.val, v.aval.dtype) if hasattr(v, "val") else known[v]

        for eqn in jaxpr.eqns:
            name, inputs = eqn.primitive.name, [read(v) for v in eqn.invars]
            if name in INLINED:
                inner = eqn.params[INLINED[name]]
                found = self._run(inner.jaxpr, inner.consts, inputs)
            else:
                found = [self._equation(name, eqn, inputs)]
            known.update(zip(eqn.outvars, found, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _constant(self, value, dtype=None):
        array = np.asarray(value, dtype)
        if array.dtype.name not in TYPES:
            raise CannotTrace(f"numbers of type {array.dtype.name}")
        type_ = TYPES[array.dtype.name]
        if array.ndim == 0:
            size = self.sizes.get(int(array)) if type_ == INT else None
            return self.graph.const(int(array), type_) if size is None else size
        return Lazy(array.shape, type_, partial(self._picked, array, type_))

    def _picked(self, array, type_, *at) -> int:
        """An element of a constant array; of one whose place is not known, among all of them."""
        places = [self.graph.value(i) for i in at]
        if None not in places:
            return self.graph.const(array[tuple(places)], type_)
        found = self.graph.const(array.flat[0], type_)
        flat = self._flat(array.shape, at)
        for k, value in enumerate(array.flat):
            here = self.graph.make("eq", flat, self.graph.const(k))
            found = self.graph.select(here, self.graph.const(value, type_), found)
        return found

    def _equation(self, name: str, eqn, inputs):
        """What one primitive gives, a scalar or an array."""
        aval = eqn.outvars[0].aval
        if aval.dtype.name not in TYPES:
            raise CannotTrace(f"{name} of type {aval.dtype.name}")
        type_, shape = TYPES[aval.dtype.name], aval.shape
        if name in ELEMENTWISE:
            element = partial(ELEMENTWISE[name], self, type_)
            return element(*inputs) if shape == () else self._each(shape, type_, element, inputs)
        method = getattr(self, f"_{name}", None)
        if name in REDUCED:
            method = partial(self._reduced, REDUCED[name])
        if method is None:
            raise CannotTrace(name)
        out = method(eqn, *inputs)
        return out.at() if isinstance(out, Lazy) and out.shape == () else out

    @staticmethod
    def _each(shape, type_: str, element: Callable, inputs) -> Lazy:
        parts = [x.at if isinstance(x, Lazy) else lambda *_, x=x: x for x in inputs]
        return Lazy(shape, type_, lambda *at: element(*(part(*at) for part in parts)))

    def converted(self, type_: str, a: int) -> int:
        """As another type: flags as 0 and 1, words by their bits."""
        if type_ == BOOL:
            zero = self.graph.const(0, self.graph.type(a))
            return self.graph.make("not", self.graph.make("eq", a, zero))
        return self.graph.make({INT: "int", UINT: "uint"}[type_], a)

    def clamped(self, low: int, a: int, high: int) -> int:
        """Not below and not above."""
        make, const = self.graph.make, self.graph.const
        return make("min", make("max", a, const(low)), const(high))

    # Primitives that move elements.

    def _broadcast_in_dim(self, eqn, x):
        shape, dims = eqn.params["shape"], eqn.params["broadcast_dimensions"]
        if not isinstance(x, Lazy):
            return Lazy(shape, self.graph.type(x), lambda *_: x)
        zero = self.graph.const(0)

        def at(*index):
            return x.at(*(zero if n == 1 else index[d] for n, d in zip(x.shape, dims, strict=True)))

        return Lazy(shape, x.type, at)

    def _squeeze(self, eqn, x):
        gone, zero = eqn.params["dimensions"], self.graph.const(0)
        shape = tuple(n for d, n in enumerate(x.shape) if d not in gone)

        def at(*index):
            rest = iter(index)
            return x.at(*(zero if d in gone else next(rest) for d in range(len(x.shape))))

        return Lazy(shape, x.type, at)

    def _reshape(self, eqn, x):
        shape = eqn.outvars[0].aval.shape
        if not isinstance(x, Lazy):
            return Lazy(shape, self.graph.type(x), lambda *_: x)
        make, const = self.graph.make, self.graph.const

        def at(*index):
            if len(x.shape) == len(shape) + 1 and x.shape == (*shape, 1):
                return x.at(*index, const(0))
            if (*x.shape, 1) == tuple(shape):
                return x.at(*index[:-1])
            flat, places = self._flat(shape, index), []
            for length in reversed(x.shape):
                places.append(make("rem", flat, const(length)))
                flat = make("div", flat, const(length))
            return x.at(*reversed(places))

        return Lazy(shape, x.type, at)

    def _slice(self, eqn, x):
        start = eqn.params["start_indices"]
        step = eqn.params["strides"] or (1,) * len(start)
        make, const = self.graph.make, self.graph.const

        def at(*index):
            moved = zip(index, start, step, strict=True)
            return x.at(*(make("add", make("mul", i, const(k)), const(s)) for i, s, k in moved))

        return Lazy(eqn.outvars[0].aval.shape, x.type, at)

    def _dynamic_slice(self, eqn, x, *start):
        make, const = self.graph.make, self.graph.const
        sizes = eqn.params["slice_sizes"]
        lengths = [self.sizes[n] if n in self.sizes else const(n) for n in x.shape]
        lasts = [make("sub", n, const(s)) for n, s in zip(lengths, sizes, strict=True)]
        inside = lambda s, last: make("max", make("min", s, last), const(0))  # noqa: E731
        start = [inside(s, last) for s, last in zip(start, lasts, strict=True)]

        def at(*index):
            return x.at(*(make("add", s, i) for s, i in zip(start, index, strict=True)))

        return Lazy(sizes, x.type, at)

    def _concatenate(self, eqn, *parts):
        return self._joined(eqn.params["dimension"], eqn.outvars[0].aval.shape, parts)

    def _joined(self, axis: int, shape, parts) -> Lazy:
        make, const = self.graph.make, self.graph.const

        def at(*index):
            found, begin = None, 0
            for part in parts:
                own = list(index)
                own[axis] = make("sub", index[axis], const(begin))
                place = self.graph.value(own[axis])
                if place is not None and 0 <= place < part.shape[axis]:
                    return part.at(*own)
                if place is None:
                    here = part.at(*own)
                    inside = make("lt", index[axis], const(begin))
                    found = here if found is None else self.graph.select(inside, found, here)
                begin += part.shape[axis]
            return found

        return Lazy(shape, parts[0].type, at)

    def _stack(self, eqn, *parts):
        axis, shape = eqn.params["axis"], eqn.outvars[0].aval.shape
        one = tuple(n if d != axis else 1 for d, n in enumerate(shape))
        type_ = TYPES[eqn.outvars[0].aval.dtype.name]

        def row(part):
            rest = lambda at: (*at[:axis], *at[axis + 1 :])  # noqa: E731
            return Lazy(
                one, type_, lambda *at: part.at(*rest(at)) if isinstance(part, Lazy) else part
            )

        return self._joined(axis, shape, [row(part) for part in parts])

    def _iota(self, eqn):
        axis, shape = eqn.params["dimension"], eqn.params["shape"]
        return Lazy(shape, INT, lambda *index: index[axis])

    # Primitives that look at all elements.

    def _elements(self, x: Lazy, axes) -> Callable:
        """From the index along the other axes to the elements along these, in order."""
        dims, const = range(len(x.shape)), self.graph.const
        every = [
            dict(zip(axes, map(const, places), strict=True))
            for places in product(*(range(x.shape[d]) for d in axes))
        ]

        def found(*index):
            for own in every:
                rest = iter(index)
                yield x.at(*(own[d] if d in own else next(rest) for d in dims))

        return found

    def _reduced(self, op: str, eqn, x):
        elements = self._elements(x, eqn.params["axes"])
        combine = lambda a, b: self.graph.make(op, a, b)  # noqa: E731
        shape = eqn.outvars[0].aval.shape
        return Lazy(shape, x.type, lambda *index: reduce(combine, elements(*index)))

    def _argmax(self, eqn, x):
        elements = self._elements(x, eqn.params["axes"])
        make, const, select = self.graph.make, self.graph.const, self.graph.select

        def at(*index):
            best = where = None
            for k, value in enumerate(elements(*index)):
                if best is None or where is None:
                    best, where = value, const(k)
                    continue
                better = make("lt", best, value)
                best, where = select(better, value, best), select(better, const(k), where)
            return where

        return Lazy(eqn.outvars[0].aval.shape, INT, at)
