"""State diagrams are found in the proposals, so they say what the code does."""

import pytest

from secretjax import proposals
from secretjax.proposals.base import When
from secretjax.show import diagram, style
from secretjax.show.diagram import NO, YES, follow


def told(box):
    """A tree as nested tuples."""
    return (box.text, *((words, told(after)) for words, after in box.follows))


def every(box):
    return [box, *(b for _, after in box.follows for b in every(after))]


def test_a_single_page_as_secretmem_fault_does_it():
    (fault,) = follow(proposals.make("per_page"), When.FAULT)
    back = ("give the page back", ("", ("refused",)))
    hide = ("remove the page from the direct map", (YES, ("done",)), (NO, back))
    assert told(fault) == ("take a page from the buddy", (YES, hide), (NO, ("refused",)))
    (release,) = follow(proposals.make("per_page"), When.RELEASE)
    given = ("give the page back", ("", ("done",)))
    assert told(release) == ("put the page back into the direct map", ("", given))


def test_a_pool_grows_by_a_block_or_falls_back_to_a_page():
    next_page, grows = follow(proposals.make("pmd_pool"), When.FAULT)
    assert told(next_page) == ("take the file's next page", ("", ("done",)))
    assert grows.text == "take a 2 MiB block from the buddy"
    ends = {b.text for b in every(grows) if b.ends}
    assert ends == {"done", "done, a single page", "refused"}
    alone = follow(proposals.make("pmd_pool", fallback=False), When.FAULT)[1]
    assert {b.text for b in every(alone) if b.ends} == {"done", "refused"}


def test_idle_blocks_of_a_shared_pool_go_back():
    (shrinks,) = follow(proposals.make("pmd_pool", shared=True), When.SHRINK)
    texts = [b.text for b in every(shrinks)]
    assert texts[:3] == [
        "take a 2 MiB block from the pool",
        "put the 2 MiB block back into the direct map",
        "give the 2 MiB block back",
    ]


@pytest.mark.parametrize("name", proposals.names())
def test_every_proposal_has_a_diagram_whose_paths_end(name):
    proposal = proposals.make(name)
    for event in (When.FAULT, When.RELEASE):
        roots = follow(proposal, event)
        assert roots, event
        leaves = [b for root in roots for b in every(root) if not b.follows]
        assert leaves
        assert all(b.ends or b.again for b in leaves)
    drawn = diagram.draw(proposal)
    said = {text.get_text().replace("\n", " ") for axis in drawn.axes for text in axis.texts}
    assert any(text.startswith("done") for text in said)
    style.plt.close(drawn)
