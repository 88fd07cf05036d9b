"""Expressions as functions in the language of LLVM.

A function gets a lane: its row of words and the places of its arrays. It first computes all it
needs, then stores. Nothing in it refers to anything outside of the module (see `build`).
"""

from collections.abc import Iterable, Mapping

from secretjax.native import branch
from secretjax.native.branch import Store
from secretjax.native.graph import BOOL, INT, Graph
from secretjax.native.lane import ARRAYS, Lane

PLAIN = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
SHORT = 60  # instructions of a function that may become part of another
HEADER = """
declare i32 @llvm.ctlz.i32(i32, i1)
declare i32 @llvm.ctpop.i32(i32)
declare i32 @llvm.smax.i32(i32, i32)
declare i32 @llvm.smin.i32(i32, i32)
declare i32 @llvm.umax.i32(i32, i32)
declare i32 @llvm.umin.i32(i32, i32)
attributes #0 = { nounwind noinline noimplicitfloat "no-jump-tables"="true" }
attributes #1 = { nounwind noimplicitfloat "no-jump-tables"="true" }
"""


class Function:
    """The text of one function `void NAME(row, arrays)`, or of one that returns a word."""

    def __init__(self, graph: Graph, lane: Lane):
        self.graph, self.lane = graph, lane
        self.lines: list[str] = []
        self.known: dict[int, str] = {}
        self.arrays: dict[str, str] = {}
        self.fresh = 0
        self.ended = False

    def new(self, text: str) -> str:
        """A name for what this instruction gives."""
        self.fresh += 1
        self.lines.append(f"  %t{self.fresh} = {text}")
        return f"%t{self.fresh}"

    def word(self, name: str) -> str:
        """The place of a word of the row."""
        return self.new(f"getelementptr i32, ptr %row, i32 {self.lane.words[name]}")

    def place(self, array: str, index: str) -> str:
        """The place of a word of an array."""
        if array not in self.arrays:
            slot = self.new(f"getelementptr ptr, ptr %arrays, i32 {ARRAYS.index(array)}")
            self.arrays[array] = self.new(f"load ptr, ptr {slot}, !invariant.load !0")
        wide = self.new(f"sext i32 {index} to i64")
        return self.new(f"getelementptr i32, ptr {self.arrays[array]}, i64 {wide}")

    def compute(self, roots: Iterable[int]) -> None:
        """All these expressions, parts first."""
        for number in self.graph.reached(roots):
            if number not in self.known:
                self.known[number] = self._instruction(number)

    def _instruction(self, number: int) -> str:
        node = self.graph.nodes[number]
        args = [self.known[a] for a in node.args]
        if node.op == "const":
            return str(node.value) if node.type != BOOL else ("false", "true")[node.value]
        if node.op == "var":
            found = self.new(f"load i32, ptr {self.word(node.value)}")
            return self.new(f"icmp ne i32 {found}, 0") if node.type == BOOL else found
        if node.op == "load":
            return self.new(f"load i32, ptr {self.place(node.value, args[0])}")
        if node.op == "select":
            kind = "i1" if node.type == BOOL else "i32"
            return self.new(f"select i1 {args[0]}, {kind} {args[1]}, {kind} {args[2]}")
        type_ = self.graph.type(node.args[0])
        return self._operation(node.op, "i1" if type_ == BOOL else "i32", type_ != INT, *args)

    def _operation(self, op: str, kind: str, unsigned: bool, a: str, b: str = "") -> str:
        letter = "u" if unsigned else "s"
        if op in PLAIN:
            return self.new(f"{PLAIN[op]} {kind} {a}, {b}")
        if op == "not":
            return self.new(f"xor {kind} {a}, {'true' if kind == 'i1' else '-1'}")
        if op in ("int", "uint"):
            return self.new(f"zext i1 {a} to i32") if kind == "i1" else a
        if op in ("max", "min"):
            return self.new(f"call i32 @llvm.{letter}{op}.i32(i32 {a}, i32 {b})")
        if op in ("eq", "lt", "le"):
            test = "eq" if op == "eq" else f"{letter}{op}"
            return self.new(f"icmp {test} {kind} {a}, {b}")
        if op == "clz":
            return self.new(f"call i32 @llvm.ctlz.i32(i32 {a}, i1 false)")
        if op == "popcount":
            return self.new(f"call i32 @llvm.ctpop.i32(i32 {a})")
        if op in ("shl", "shr", "lshr"):
            return self._shift(op, a, b)
        return self._unsigned(op, a, b) if unsigned else self._division(op, a, b)

    def _shift(self, op: str, a: str, b: str) -> str:
        """By 32 and more, or by less than nothing: no bit is left, or the sign alone."""
        name = {"shl": "shl", "shr": "ashr", "lshr": "lshr"}[op]
        if b.isdigit() and int(b) < 32:
            return self.new(f"{name} i32 {a}, {b}")
        if op == "shr":
            most = self.new(f"call i32 @llvm.umin.i32(i32 {b}, i32 31)")
            return self.new(f"ashr i32 {a}, {most}")
        fits = self.new(f"icmp ult i32 {b}, 32")
        shifted = self.new(f"{name} i32 {a}, {self.new(f'and i32 {b}, 31')}")
        return self.new(f"select i1 {fits}, i32 {shifted}, i32 0")

    def _division(self, op: str, a: str, b: str) -> str:
        """By 0: -1, and all is left. The smallest number by -1: itself, and nothing."""
        name = {"div": "sdiv", "rem": "srem"}[op]
        if b.isdigit() and int(b) > 0:
            return self.new(f"{name} i32 {a}, {b}")
        zero, minus = self.new(f"icmp eq i32 {b}, 0"), self.new(f"icmp eq i32 {b}, -1")
        odd = self.new(f"or i1 {zero}, {minus}")
        safe = self.new(f"select i1 {odd}, i32 1, i32 {b}")
        usual = self.new(f"{name} i32 {a}, {safe}")
        opposite = self.new(f"sub i32 0, {a}") if op == "div" else "0"
        usual = self.new(f"select i1 {minus}, i32 {opposite}, i32 {usual}")
        return self.new(f"select i1 {zero}, i32 {'-1' if op == 'div' else a}, i32 {usual}")

    def _unsigned(self, op: str, a: str, b: str) -> str:
        """By 0: all bits set, and all is left."""
        zero = self.new(f"icmp eq i32 {b}, 0")
        safe = self.new(f"select i1 {zero}, i32 1, i32 {b}")
        usual = self.new(f"u{op} i32 {a}, {safe}")
        return self.new(f"select i1 {zero}, i32 {'-1' if op == 'div' else a}, i32 {usual}")

    def finish(self, words: Mapping[str, int], stores: Iterable[Store] = ()) -> None:
        """Branches where that saves work, and at each end writes what is to be written."""
        self.ended = True
        self._branch(branch.branched(self.graph, branch.Work(dict(words), list(stores))))

    def _branch(self, work: branch.Work) -> None:
        if work.flag is None:
            self.store(work.words, work.stores)
            self.lines.append("  ret void")
            return
        self.compute([work.flag])
        self.fresh += 1
        labels = {True: f"yes{self.fresh}", False: f"no{self.fresh}"}
        to = ", ".join(f"label %{label}" for label in labels.values())
        self.lines.append(f"  br i1 {self.known[work.flag]}, {to}")
        known, arrays = self.known, self.arrays
        for value, label in labels.items():
            self.lines.append(f"{label}:")
            self.known, self.arrays = dict(known), dict(arrays)
            self._branch(work.outcomes[value])

    def store(self, words: Mapping[str, int], stores: Iterable[Store] = ()) -> None:
        """Computes all of it, then writes the words of the row that change, and of arrays."""
        stores = list(stores)
        words = {name: x for name, x in words.items() if x != self.graph.var(name)}
        self.compute([*words.values(), *(x for s in stores for x in s[1:])])
        for array, index, value, size in stores:
            place, drop = self.place(array, self.known[index]), self.word("nowhere")
            inside = self.new(f"icmp ult i32 {self.known[index]}, {self.known[size]}")
            place = self.new(f"select i1 {inside}, ptr {place}, ptr {drop}")
            self.lines.append(f"  store i32 {self.known[value]}, ptr {place}")
        for name, number in words.items():
            value = self.known[number]
            if self.graph.type(number) == BOOL:
                value = self.new(f"zext i1 {value} to i32")
            self.lines.append(f"  store i32 {value}, ptr {self.word(name)}")

    def text(self, name: str, returns: int | None = None) -> str:
        """The whole function, returning an expression or nothing."""
        kind = "void" if returns is None else "i32"
        how = "#0" if len(self.lines) > SHORT else "#1"
        if returns is not None:
            self.compute([returns])
            self.lines.append(f"  ret i32 {self.known[returns]}")
        elif not self.ended:
            self.lines.append("  ret void")
        head = f"define internal {kind} @{name}(ptr noalias %row, ptr noalias %arrays) {how} {{"
        return "\n".join([head, *self.lines, "}"])


def switch(value: str, cases: Mapping[int, str], default: str) -> str:
    """A jump to one of several labels."""
    to = " ".join(f"i32 {k}, label %{label}" for k, label in cases.items())
    return f"  switch i32 {value}, label %{default} [{to}]"
