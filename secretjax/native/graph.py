"""Expressions of 32-bit words and flags, each once, folded as they are made.

An expression is a number; a larger one never occurs in a smaller. What an operation gives at its
edges (shifts by 32 and more, division by 0) is as XLA defines it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

BOOL, INT, UINT = "i1", "i32", "u32"
WORD = (1 << 32) - 1


class Node(NamedTuple):
    """op: of `FOLD`, "select" or "load" with `args`, or "const" or "var" without.

    value: of a constant; the name of a variable, or of the array of a load.
    """

    op: str
    type: str
    args: tuple[int, ...] = ()
    value: Any = None  # int, str or None


def signed(word: int) -> int:
    """The 32 bits as a signed number."""
    word &= WORD
    return word - (1 << 32) if word >> 31 else word


def _quotient(a: int, b: int) -> int:
    return -1 if b == 0 else signed(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))


def _remainder(a: int, b: int) -> int:
    return a if b == 0 else signed(a - b * _quotient(a, b))


FOLD = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b if 0 <= b < 32 else 0,
    "shr": lambda a, b: a >> b if 0 <= b < 32 else (-1 if a < 0 else 0),
    "lshr": lambda a, b: (a & WORD) >> b if 0 <= b < 32 else 0,
    "div": _quotient,
    "rem": _remainder,
    "max": max,
    "min": min,
    "eq": lambda a, b: int(a == b),
    "lt": lambda a, b: int(a < b),
    "le": lambda a, b: int(a <= b),
    "not": lambda a: ~a,
    "clz": lambda a: 32 - (a & WORD).bit_length(),
    "popcount": lambda a: (a & WORD).bit_count(),
    "int": lambda a: a,
    "uint": lambda a: a,
}
COMPARES = ("eq", "lt", "le")
COMMUTES = ("add", "mul", "and", "or", "xor", "max", "min", "eq")


class Graph:
    """All expressions so far."""

    def __init__(self):
        self.nodes: list[Node] = []
        self.numbers: dict[Node, int] = {}

    def _put(self, node: Node) -> int:
        found = self.numbers.get(node)
        if found is None:
            found = self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return found

    def const(self, value: int, type_: str = INT) -> int:
        """A constant."""
        value = int(value) & 1 if type_ == BOOL else int(value)
        value = value & WORD if type_ == UINT else signed(value) if type_ == INT else value
        return self._put(Node("const", type_, (), value))

    def var(self, name: str, type_: str = INT) -> int:
        """A word of a lane's row."""
        return self._put(Node("var", type_, (), name))

    def load(self, array: str, index: int) -> int:
        """A word of an array; the index is inside."""
        return self._put(Node("load", INT, (index,), array))

    def type(self, number: int) -> str:
        """BOOL, INT or UINT."""
        return self.nodes[number].type

    def value(self, number: int) -> int | None:
        """What it is, if that is known."""
        node = self.nodes[number]
        return node.value if node.op == "const" else None

    def select(self, when: int, yes: int, no: int) -> int:
        """`yes` where the flag is set, else `no`."""
        node, type_ = self.nodes[when], self.nodes[yes].type
        if node.op == "const":
            return yes if node.value else no
        if yes == no:
            return yes
        if node.op == "not":
            return self.select(node.args[0], no, yes)
        chosen, other = self.nodes[yes], self.nodes[no]
        if chosen.op == "select" and chosen.args[0] == when:
            return self.select(when, chosen.args[1], no)
        if other.op == "select" and other.args[0] == when:
            return self.select(when, yes, other.args[2])
        if type_ == BOOL:
            if chosen.op == "const":
                return self.make("or", when, no) if chosen.value else self._but(no, when)
            if other.op == "const":
                unless = self.make("not", when)
                return self.make("or", unless, yes) if other.value else self.make("and", when, yes)
        return self._put(Node("select", type_, (when, yes, no)))

    def _but(self, flag: int, when: int) -> int:
        return self.make("and", flag, self.make("not", when))

    def make(self, op: str, *args: int) -> int:
        """An operation of `FOLD` on expressions of one type."""
        if op in ("max", "min") and self.type(args[0]) == BOOL:
            op = "or" if op == "max" else "and"
        nodes = [self.nodes[a] for a in args]
        type_ = BOOL if op in COMPARES else {"int": INT, "uint": UINT}.get(op, nodes[0].type)
        if all(node.op == "const" for node in nodes):
            return self.const(FOLD[op](*(node.value for node in nodes)), type_)
        if op in ("int", "uint") and nodes[0].type == type_:
            return args[0]
        if op in COMMUTES and (
            nodes[0].op == "const" or (args[0] > args[1] and nodes[1].op != "const")
        ):
            args, nodes = args[::-1], nodes[::-1]
        easy = self._simpler(op, args, nodes)
        return self._put(Node(op, type_, args)) if easy is None else easy

    def _simpler(self, op: str, args: tuple[int, ...], nodes: list[Node]) -> int | None:
        """The same as a smaller expression, if one is known. A constant comes last."""
        if op == "not":
            return nodes[0].args[0] if nodes[0].op == "not" else None
        if len(args) == 1:
            return None
        a, b = args
        if a == b:
            return self._twice(op, a, nodes[0].type)
        if nodes[1].op != "const":
            return self._apart(op, args, nodes)
        full = {BOOL: 1, INT: -1, UINT: WORD}[nodes[0].type]
        value, zero = nodes[1].value, nodes[1].value == 0
        if zero and op in ("add", "sub", "or", "xor", "shl", "shr", "lshr"):
            return a
        if op == "and" and (zero or value == full):
            return b if zero else a
        if op == "or" and value == full:
            return b
        if op in ("mul", "div") and value == 1:
            return a
        if op == "eq" and nodes[0].type == BOOL:
            return a if value else self.make("not", a)
        if op in COMPARES and nodes[0].op == "select":
            return self._compared(op, nodes[0], b)
        return None

    def _twice(self, op: str, a: int, type_: str) -> int | None:
        if op in ("and", "or", "max", "min"):
            return a
        if op in ("sub", "xor"):
            return self.const(0, type_)
        return self.const(op != "lt", BOOL) if op in COMPARES else None

    def _apart(self, op: str, args: tuple[int, ...], nodes: list[Node]) -> int | None:
        """`x and not x`, `x or not x` of flags."""
        if nodes[0].type != BOOL or op not in ("and", "or"):
            return None
        for one, other in ((0, 1), (1, 0)):
            if nodes[one].op == "not" and nodes[one].args[0] == args[other]:
                return self.const(op == "or", BOOL)
        return None

    def _compared(self, op: str, chosen: Node, with_: int) -> int | None:
        """A choice between two constants, or one and something, compared with a constant."""
        when, yes, no = chosen.args
        known = [self.nodes[x].op == "const" for x in (yes, no)]
        if all(known) or (op == "eq" and any(known)):
            return self.select(when, self.make(op, yes, with_), self.make(op, no, with_))
        return None

    def reached(self, roots: Iterable[int]) -> list[int]:
        """All that these consist of, parts first."""
        seen, todo = set(), list(roots)
        while todo:
            number = todo.pop()
            if number not in seen:
                seen.add(number)
                todo.extend(self.nodes[number].args)
        return sorted(seen)

    def specialized(self, roots: Mapping, known: Mapping[int, int]) -> dict:
        """The same expressions where some expressions have a known value.

        roots: {name: expression}; known: {expression: expression}.
        """
        new = dict(known)
        for number in self.reached(roots.values()):
            if number in new:
                continue
            node = self.nodes[number]
            if not node.args:
                new[number] = number
                continue
            args = tuple(new[a] for a in node.args)
            if args == node.args:
                new[number] = number
            elif node.op == "select":
                new[number] = self.select(*args)
            elif node.op == "load":
                new[number] = self.load(node.value, *args)
            else:
                new[number] = self.make(node.op, *args)
        return {name: new[number] for name, number in roots.items()}

    def variables(self, roots: Iterable[int]) -> Iterator[str]:
        """Names of the words that these depend on."""
        for number in self.reached(roots):
            if self.nodes[number].op == "var":
                yield self.nodes[number].value
