"""What a step decides: collected field by field, each under its condition."""

from typing import cast

import jax.numpy as jnp

from secretjax.mm.layout import FREE_SHIFT, LRU_SHIFT
from secretjax.mm.state import Flag, Registers, Size, Word, Writes
from secretjax.mm.words import NR_PAGE_ORDERS

NOWHERE = 1 << 30


class Conditions:
    """The conditions of all rules, packed into a few words.

    XLA:CPU computes a shared value again in each of its consumers, and the conditions are shared
    by dozens of registers. So the rules run twice: once to collect what they ask for, once, after
    these words were materialized, to carry out what the bits say (mm/machine.py: step).
    """

    BITS = 31

    def __init__(self, words: list | None = None):
        self.asked: list = []
        self.bits: dict = {}
        self.words = words

    def known(self, when):
        """The condition itself, or its bit once the words are there."""
        found = self.bits.get(id(when))
        if found is None:
            i = len(self.asked)
            self.asked.append(when)  # kept, so that no other object gets its id
            found = when
            if self.words is not None:
                found = (self.words[i // self.BITS] & (1 << (i % self.BITS))) != 0
            self.bits[id(when)] = self.bits[id(found)] = found
        return found

    def pack(self) -> list[Word]:
        """All conditions asked for, `BITS` to a word."""
        groups = [self.asked[i : i + self.BITS] for i in range(0, len(self.asked), self.BITS)]
        packed = [sum(c.astype(jnp.int32) << k for k, c in enumerate(g)) for g in groups]
        return cast(list[Word], packed)  # no group is empty


def nothing_written(zero) -> dict:
    """`Writes` of a step that writes nothing, by name."""
    is_word = lambda x: x.startswith("word") or x.endswith("_word") or x == "amount"  # noqa: E731
    return {name: zero if is_word(name) else zero + NOWHERE for name in Writes._fields}


class Plan:
    """Starts from the registers as they are; later settings win over earlier ones."""

    def __init__(self, now: Registers, conditions: Conditions, pages: Size, so_far=None):
        """so_far: (writes, finished, answer) of rules that were applied before."""
        self.pages = pages
        self.known = conditions.known
        self.now = now._asdict()
        zero = jnp.zeros_like(now.phase)
        self.writes = nothing_written(zero)
        self.finished = zero == 1
        self.answer = zero
        if so_far is not None:
            self.writes, self.finished, self.answer = so_far[0]._asdict(), *so_far[1:]
        no = zero == 1
        self.filled = (no, zero)
        self.emptied = (no, zero)

    def set(self, when, **fields) -> None:
        """Registers that get a new value where `when`."""
        when = self.known(when)
        for name, value in fields.items():
            self.now[name] = jnp.where(when, value, self.now[name])

    def add(self, when, **fields) -> None:
        """Registers that change by an amount where `when`."""
        when = self.known(when)
        for name, value in fields.items():
            self.now[name] = self.now[name] + jnp.where(when, value, 0)

    def fault(self, when, bit: int) -> None:
        """Fault bits stay."""
        when = self.known(when)
        self.now["fault"] = self.now["fault"] | jnp.where(when, int(bit), 0)

    def raise_flag(self, when, bits: int) -> None:
        """Bits of `Registers.flags` that are set where `when`."""
        when = self.known(when)
        self.now["flags"] = self.now["flags"] | jnp.where(when, int(bits), 0)

    def clear_flags(self, when, bits: int) -> None:
        """Bits of `Registers.flags` that are cleared where `when`."""
        when = self.known(when)
        self.now["flags"] = self.now["flags"] & jnp.where(when, ~int(bits), -1)

    def cell(self, slot: int, when, row: Word, column, word: Word) -> None:
        """One of the six words that a step may write to the rows."""
        when = self.known(when)
        for name, value in ((f"cell{slot}", 2 * row + column), (f"word{slot}", word)):
            self.writes[name] = jnp.where(when, value, self.writes[name])

    def write(self, when, what: str, at: Word, word: Word) -> None:
        """One word of `block` or `handle`."""
        when = self.known(when)
        self.writes[what] = jnp.where(when, at, self.writes[what])
        self.writes[f"{what}_word"] = jnp.where(when, word, self.writes[f"{what}_word"])

    def tick(self, when, tick, amount: Size = 1) -> None:
        """One counter."""
        when = self.known(when)
        self.writes["tick"] = jnp.where(when, tick, self.writes["tick"])
        self.writes["amount"] = jnp.where(when, amount, self.writes["amount"])

    def fill(self, when, migratetype, order) -> None:
        """The list (migratetype, order) is not empty from here on."""
        self.filled = self._list(self.filled, when, migratetype * NR_PAGE_ORDERS + order)

    def empty(self, when, head: Word) -> None:
        """The list whose head is this row is empty from here on."""
        self.emptied = self._list(self.emptied, when, head - self.pages)

    def _list(self, so_far, when, at):
        when = self.known(when)
        was, position = so_far
        return was | when, jnp.where(when, at, position)

    def finish(self, when, answer: Size = 0) -> None:
        """The command is finished."""
        when = self.known(when)
        self.finished = self.finished | when
        self.answer = jnp.where(when, answer, self.answer)

    def touched(self) -> list[Word]:
        """The list that stops being empty, and the one that becomes so; -1 for none."""
        return [jnp.where(when, at, -1) for when, at in (self.filled, self.emptied)]

    def result(self, filled: Word, emptied: Word) -> tuple[Registers, Writes, Flag, Word]:
        """Registers and writes of this step, whether the command is finished, its answer."""
        two = 2 * NR_PAGE_ORDERS
        for k, name in enumerate(("lists01", "lists23", "lists45", "lists67")):
            for at, on in ((emptied, False), (filled, True)):
                bit = jnp.where((at >= k * two) & (at < (k + 1) * two), 1 << (at - k * two), 0)
                self.now[name] = self.now[name] | bit if on else self.now[name] & ~bit
        return Registers(**self.now), Writes(**self.writes), self.finished, self.answer


def counted(block: Word, free, lru) -> Word:
    """A pageblock word with its counts of free and LRU pages changed."""
    return block + (free << FREE_SHIFT) + (lru << LRU_SHIFT)
