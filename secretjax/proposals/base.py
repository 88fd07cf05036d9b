"""What a proposal is: a small state machine that asks the zone for one thing at a time.

The engine tells it of an event and of the zone's answers; it answers with the next command, or
that it is done. It touches memory through commands only, so no cost escapes counting. Everything
is for ONE state, in traced int32 scalars; batching is the engine's business.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple, Protocol

import jax.numpy as jnp

from secretjax.mm.layout import Use
from secretjax.mm.state import Command, Op, Size, Word
from secretjax.mm.words import Migratetype


class When(IntEnum):
    """Events that a proposal answers."""

    FAULT = 0  # a page of a file is touched for the first time
    RELEASE = 1  # it goes with its file
    RESERVE = 2  # mmap under a reservation: the pool must hold `need` pages
    SHRINK = 3  # a file has ended, or wholly idle pool blocks are asked back
    FILL = 4  # before the demand: the pool must hold `need` pages


class Result(IntEnum):
    """How an event went on or ended."""

    ON = 0  # another command follows
    DONE = 1
    SINGLE = 2  # done, with a single page instead of one of the pool
    REFUSED = 3


class Own(NamedTuple):
    """What every proposal remembers; a pool uses all of it."""

    stage: Word  # within an event
    chunk: Word  # pageblock in hand (pfn)
    room: Word  # pages left in the open file's last pageblock
    pool: Word  # pages held by the pool
    reserved: Word  # pages promised at mmap and not yet handed out
    held: Word  # pages in users' hands
    singles: Word  # of them not from the pool
    least: Word  # pages that a shared pool keeps, idle or not


class Ask(NamedTuple):
    """The event in hand."""

    when: Word
    handle: Word  # page of the file, as the user will name it
    first: Word  # 1: it is the first page of its file
    need: Word  # pages that the pool must have in all; FAULT: to spare one of those that it has


def command(
    op: Size,
    order: Size = 0,
    type_: Size = -1,
    use: Size = 0,
    handle: Size = -1,
    owner: Size = -1,
    page: Size = 0,
    fresh: Size = 1,
    compact: Size = 0,
) -> Command:
    """A command with the fields that it needs; handles and pages as in `mm.state.Command`."""
    given = (op, order, type_, use, handle, owner, page, fresh, compact)
    return Command(
        *(jnp.asarray(int(v) if isinstance(v, IntEnum) else v, jnp.int32) for v in given)
    )


def choose_command(cases: list[tuple[Any, Command]]) -> Command:
    """The command of the first condition that holds; nothing if none does."""
    chosen = command(Op.NOTHING)
    for when, other in reversed(cases):
        chosen = Command(*(jnp.where(when, a, b) for a, b in zip(other, chosen, strict=True)))
    return chosen


def one_page(ask: Ask, *, movable: bool = False, secret: bool = True) -> Command:
    """alloc_page for a fault: on an LRU list as soon as it is in the page cache."""
    use = Use.USED | Use.LRU | (Use.SECRET if secret else 0)
    type_ = Migratetype.MOVABLE if movable else Migratetype.UNMOVABLE
    return command(Op.GET, type_=type_, use=use, owner=ask.handle)


class Turn(NamedTuple):
    """A proposal's state after an answer, and how the event goes on."""

    own: Own
    result: Word


class Pooled(Protocol):
    """The options that rules read of a proposal with a `pool`, see `_pool.Pool`."""

    @property
    def shared(self) -> bool:
        """Whether there is one pool for all files."""
        ...

    @property
    def keep_idle(self) -> bool:
        """Whether wholly idle pageblocks stay in it."""
        ...


@dataclass(frozen=True)
class Proposal:
    """Interface. A leaf is a frozen dataclass whose fields are its options.

    name      its file's name
    label     for people
    source    who proposed it, and where
    slot      fixed number, gives colour and marker; no two share one
    pool      pages come from a pool of whole pageblocks (an admission may reserve in it)
    moves     its secret pages can be migrated
    hides     its secret pages leave the direct map: all but a baseline's or a control's
    apart     it zeroes pages through a temporary mapping of one CPU, not in the direct map
    yields    its idle pool blocks go back when a request of others is refused (a shrinker)
    captures  patterns of the names of the captured cases that cover it, none: it is unvalidated
    captured  and the options that those kernels ran: with others it is unvalidated
    """

    name: ClassVar[str]
    label: ClassVar[str]
    source: ClassVar[str]
    slot: ClassVar[int]
    pool: ClassVar[bool] = False  # then it is `Pooled`
    moves: ClassVar[bool] = False
    hides: ClassVar[bool] = True
    apart: ClassVar[bool] = False
    yields: ClassVar[bool] = False
    captures: ClassVar[tuple[str, ...]] = ()
    captured: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls):
        """What captures cover is said by each class itself, never inherited."""
        cls.captures = vars(cls).get("captures", ())
        cls.captured = vars(cls).get("captured", {})

    @property
    def validated(self) -> bool:
        """Whether a captured kernel did what it does, with these options."""
        ran = all(getattr(self, option) == value for option, value in self.captured.items())
        return ran and bool(self.captures)

    def prepare(self, start):
        """The start state as this proposal finds it (a boot parameter may shape it)."""
        return start

    @property
    def secret(self) -> int:
        """What migration does with its secret pages, bits of `words.Secret`."""
        return 0

    @property
    def kills(self) -> bool:
        """Whether a fault that is refused ends in the OOM killer (VM_FAULT_OOM), else in SIGBUS."""
        return True

    @property
    def opens(self) -> bool:
        """Whether memfd_secret() creates a file at all."""
        return True

    def fill(self, total: int) -> int:
        """Pages that the pool gets before the demand, of `total` managed ones."""
        return 0

    def command(self, own: Own, ask: Ask) -> Command:
        """What to ask the zone for at `own.stage` of the event."""
        raise NotImplementedError

    def advance(self, own: Own, ask: Ask, answer: Word) -> Turn:
        """What follows from the answer: next stage, or the end of the event."""
        raise NotImplementedError
