"""State diagrams: what is drawn is what the proposal does, whatever the proposal is."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from secretjax import proposals
from secretjax.errors import UserError
from secretjax.mm.state import Op
from secretjax.proposals.base import (
    Ask,
    Own,
    Proposal,
    Result,
    Turn,
    When,
    choose_command,
    command,
    one_page,
)
from secretjax.show import state_diagram, states, style

NAMES = proposals.names()
EVERY = [(name, "", proposals.make(name)) for name in NAMES]
EVERY += [(n, option, p) for n in NAMES for option, p in states.variants(proposals.table()[n])]
each = pytest.mark.parametrize(
    "proposal", [p for *_, p in EVERY], ids=[f"{n} {option}".strip() for n, option, _ in EVERY]
)

machines = cache(states.machines)


def told(machine):
    """{(text, its detail): {label: text that follows}}; a label of a refusal ends in "!"."""
    found = {}
    for edge in machine.edges:
        source, target = machine.nodes[edge.source], machine.nodes[edge.target]
        label = edge.label + "!" * edge.refused
        found.setdefault((source.text, source.detail), {})[label] = target.text
    return found


def machine_of(proposal, title):
    (found,) = [m for m in states.machines(proposal) if title in m.title.lower()]
    return found


@dataclass(frozen=True)
class Toy(Proposal):
    """Asks twice for a page at a fault, then for a block; counts to two when it gives back."""

    name: ClassVar[str] = "toy"
    label: ClassVar[str] = "toy"
    source: ClassVar[str] = "nobody"
    slot: ClassVar[int] = 9
    ends: bool = True

    def command(self, own, ask):
        fault, release = ask.when == When.FAULT, ask.when == When.RELEASE
        block = command(Op.GET, 9, 0, owner=ask.handle)
        return choose_command([
            (fault & (own.stage < 2), one_page(ask)),
            (fault, block),
            (release & (own.stage < 2), command(Op.PUT, handle=ask.handle)),
        ])  # fmt: skip

    def advance(self, own, ask, answer):
        fault, last = ask.when == When.FAULT, own.stage == 2
        on = jnp.where(fault, (answer < 0) & ~last, (own.stage < 2) if self.ends else True)
        bad = jnp.where(fault & (answer < 0), int(Result.REFUSED), int(Result.DONE))
        stage = jnp.where(on, own.stage + 1, own.stage)
        return Turn(own._replace(stage=stage), jnp.where(on, int(Result.ON), bad))


def test_a_machine_is_what_the_proposal_does_no_more_and_no_less():
    fault, release = states.machines(Toy())
    one, block = ("allocate 1 page", "UNMOVABLE"), ("take 2 MiB block", "UNMOVABLE")
    assert [n.text for n in fault.nodes].count(one[0]) == 2
    assert [(e.source, e.target, e.refused) for e in fault.edges] == [
        (0, 1, False), (1, 2, False), (1, 3, True), (3, 2, False), (3, 4, True),
        (4, 2, False), (4, 5, True),
    ]  # fmt: skip
    assert told(fault)[block] == {"": "page handed out", "refused!": "refused: OOM killer"}
    assert [n.text for n in release.nodes[1:]] == ["give back", "give back", "done"]


def test_a_proposal_that_never_ends_is_named():
    with pytest.raises(UserError, match=r"'toy'.*does not end"):
        states.machines(Toy(ends=False))


def test_page_by_page_is_that_of_the_kernel():
    """mm/secretmem.c: secretmem_fault(), secretmem_free_folio()."""
    fault, release = states.machines(proposals.make("per_page"))
    assert told(fault) == {
        ("A page is touched", ""): {"": "allocate 1 page"},
        ("allocate 1 page", "UNMOVABLE"): {
            "": "remove from direct map", "refused!": "refused: OOM killer",
        },
        ("remove from direct map", ""): {"": "page handed out", "refused!": "give back"},
        ("give back", "the page"): {"": "refused: OOM killer"},
    }  # fmt: skip
    assert told(release) == {
        ("A page of a file goes", ""): {"": "back into direct map"},
        ("back into direct map", ""): {"": "give back"},
        ("give back", "the page"): {"": "done"},
    }


def test_a_pool_of_a_file_is_that_of_v16():
    """[PATCH v16 07/11]: secretmem_pool_increase(), secretmem_alloc_page(), eviction."""
    fault, release = states.machines(proposals.make("cma_pool"))
    assert told(fault)["A page is touched", ""] == {
        "room in its block": "next page of its block", "no room": "take 2 MiB block",
    }  # fmt: skip
    taken = told(fault)["take 2 MiB block", "of the CMA area, by migration"]
    assert taken == {"": "remove from direct map", "refused!": "refused: OOM killer"}
    assert told(release)["back into direct map", ""] == {
        "a 2 MiB block": "give back", "inside a block": "done",
    }  # fmt: skip


def test_what_never_leaves_the_direct_map_never_comes_back():
    kept = [p for _, _, p in EVERY if not p.hides]
    assert {p.name for p in kept} == {"keep_mapped", "hugetlb_pages"}
    nodes = [node for p in kept for machine in machines(p) for node in machine.nodes]
    assert not [n for n in nodes if n.kind == "map" or "direct map" in n.text]
    _, release = states.machines(proposals.make("hugetlb_pages"))
    assert told(release)["look up its block", ""] == {
        "a 2 MiB block": "give back", "inside a block": "done",
    }  # fmt: skip


def test_options_are_seen():
    fault = lambda name, **o: machine_of(proposals.make(name, **o), "touched")  # noqa: E731
    alone = {n.text for n in fault("pmd_pool").nodes}
    assert "single page" in alone and "refused: OOM killer" in alone
    assert "single page" not in {n.text for n in fault("pmd_pool", fallback=False).nodes}
    assert "refused: SIGBUS" in {n.text for n in fault("fixed_pool", when_empty="sigbus").nodes}
    light = {n.detail for n in fault("pmd_pool", flags="light").nodes}
    assert "UNMOVABLE, only what is free" in light
    shrinks = lambda back: len(states.machines(proposals.make("unmapped_blocks", back=back)))  # noqa: E731
    assert shrinks("pressure") == shrinks("at_once") == shrinks("never") + 1


def test_a_pool_shrinks_block_by_block_until_none_is_to_spare():
    shrink = told(machine_of(proposals.make("pmd_pool", shared=True), "has ended"))
    ways = {"a block to spare": "take 2 MiB block of the pool", "none to spare": "done"}
    assert shrink["A file has ended", ""] == ways
    assert shrink["give back", "the 2 MiB block"] == ways


def test_events_of_a_shared_pool_reach_no_other():
    titles = lambda **o: [m.title for m in states.machines(proposals.make("pmd_pool", **o))]  # noqa: E731
    assert titles() == ["A page is touched", "A page of a file goes"]
    assert titles(shared=True)[2:] == ["mmap, reserved / filled beforehand", "A file has ended"]


@each
def test_every_state_is_reached_and_answers_for_every_answer(proposal):
    for machine in machines(proposal):
        places = range(len(machine.nodes))
        assert {e.target for e in machine.edges} == set(places[1:])
        assert machine.nodes[0] == states.Node(machine.title, "start")
        for place, node in enumerate(machine.nodes):
            ways = [e for e in machine.edges if e.source == place]
            assert bool(ways) == (node.kind not in ("good", "bad")), node
            labels = [(e.label, e.refused) for e in ways]
            assert len(set(labels)) == len(labels), "two ways that look alike"
            assert "or" not in {e.label for e in ways}, "READS does not know what decides"
            grants = [e for e in ways if not e.refused]
            assert len(grants) < 2 or all(e.label for e in grants)
            if node.text.startswith(("allocate", "take", "remove")):
                assert any(e.refused for e in ways) and grants


@each
def test_a_random_walk_never_leaves_the_diagram(proposal):
    """Registers and answers that the search did not try, with another driver."""
    rng = np.random.default_rng(4)
    ask_of = jax.jit(proposal.command)
    go = jax.jit(proposal.advance)
    shared = proposal.pool and proposal.shared
    for when in [w for w in When if shared or w in (When.FAULT, When.RELEASE)]:
        found = [m for m in machines(proposal) if _names(m, when, proposal)]
        texts = {n.text for m in found for n in m.nodes if n.kind in ("ask", "map")}
        for _ in range(30):
            own = _registers(rng)
            ask = Ask(*map(jnp.int32, (when, 3, rng.integers(2), rng.integers(4000))))
            for _ in range(40):
                asked = ask_of(own, ask)
                op = int(asked.op)
                idle = op == Op.NOTHING or (op == Op.TAKE and int(asked.order) == 0)
                if not idle and op not in (Op.MAP, Op.PUT):
                    assert _verb(asked) in texts, (when, Op(op).name)
                turn = go(own, ask, jnp.int32(_answer(rng, op, idle)))
                if turn.result != Result.ON:
                    break
                own = turn.own


def _names(machine, when, proposal):
    return states._title(when, proposal).lower() in machine.title.lower()


def _registers(rng):
    pool = 512 * int(rng.integers(8))
    given = {"chunk": 5120, "room": int(rng.integers(512)), "pool": pool}
    given |= {"held": int(rng.integers(pool + 1)), "reserved": int(rng.integers(100))}
    return Own(*(jnp.int32(given.get(name, 0)) for name in Own._fields))


def _verb(asked):
    op, order = Op(int(asked.op)), int(asked.order)
    if op == Op.ALLOC:
        return "take 1 page of the pool" if order == 0 else "take 2 MiB block of the pool"
    if op == Op.GET:
        return "allocate 1 page" if order == 0 else "take 2 MiB block"
    return {
        Op.TAKE: "take 2 MiB block", Op.NOTE: "next page of its block",
        Op.UNMAP: "remove from direct map",
    }[op]  # fmt: skip


def _answer(rng, op, idle):
    if op in (Op.ALLOC, Op.GET, Op.TAKE, Op.UNMAP):
        return -1 if idle or rng.random() < 0.4 else 0 if op == Op.UNMAP else 7 * 512
    return int(rng.choice([0, 9, 16, -2])) if op == Op.MAP else 0


@each
def test_a_diagram_holds_its_words(proposal):
    """Every text of the machine is drawn, inside the figure; those of a box inside the box."""
    for machine in machines(proposal):
        figure = state_diagram.draw(machine)
        assert figure.get_figwidth() <= 3, "as wide as a phone"
        paint = cast(Any, figure.canvas).get_renderer()
        axis = figure.axes[0]
        frame = figure.bbox
        words = [t for t in axis.texts if t.get_text()]
        drawn = " ".join(t.get_text() for t in words)
        for node in machine.nodes:
            assert node.text.split()[0] in drawn and node.detail in drawn
        boxes = [p.get_window_extent(paint) for p in axis.patches[1:] if hasattr(p, "get_boxstyle")]
        assert len(boxes) == len(machine.nodes)
        for text in words:
            place = text.get_window_extent(paint)
            assert frame.x0 <= place.x0 and place.x1 <= frame.x1, text.get_text()
            middle = (place.y0 + place.y1) / 2
            inside = [b for b in boxes if b.y0 <= middle <= b.y1]
            assert all(b.x0 <= place.x0 and place.x1 <= b.x1 for b in inside), text.get_text()
        assert all(a.y0 >= b.y1 for a, b in pairwise(boxes)), "no overlap"
        style.plt.close(figure)


def test_refusals_can_be_told_apart_in_grey():
    figure = state_diagram.draw(states.machines(proposals.make("per_page"))[0])
    looks = {(line.get_color(), line.is_dashed()) for line in figure.axes[0].lines}
    assert looks == {(style.INK, False), (state_diagram.REFUSED, True)}
    style.plt.close(figure)


def test_it_is_told_to_who_cannot_see_it():
    said = states.machines(proposals.make("keep_mapped"))[0].sentence()
    assert said == (
        "A page is touched: then, allocate 1 page. allocate 1 page: then, page handed out; "
        "refused, refused: OOM killer."
    )


def test_what_may_move_is_told_by_protocol():
    make = lambda **o: states.moved(proposals.make("migratable", **o))  # noqa: E731
    assert "temporary mapping" in make() and "direct map" in make(window="direct_map")
    assert "split already" in make(destinations="grouped")
    assert make(mode="never_map") == states.moved(proposals.make("per_page")) == ""
