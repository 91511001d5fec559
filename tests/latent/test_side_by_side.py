"""Work on one space side by side: the same answers as alone, in fewer calls; errors stay with whom they belong to."""

from functools import partial

import pytest
import torch
from support.worlds import Identity, hard, soft

from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import AbeleError, BlackBoxError, NeighborhoodError
from abele_py.latent.side_by_side import side_by_side
from abele_py.latent.space import LatentSpace


def walk(start, steps, space):
    """Encodes, classifies, asks all else there is, and goes on from what it found; ends with what it saw."""
    z = torch.tensor([[start, 0.5]])
    seen = []
    for _ in range(steps):
        points = space.classify(z)
        answer = space.query(points.images.clamp(0, 0.9))
        seen += [points.images, points.scores, answer.scores, space.realism(z), space.typicality(z)]
        z = torch.cat([space.encode(space.decode(points.latents)) * 0.9, z])
    return seen, space.queried


WALKS = [partial(walk, start, steps) for start, steps in ((0.2, 1), (0.9, 4), (0.5, 3), (0.35, 3))]


def test_every_piece_gets_what_it_gets_alone_in_fewer_calls():
    space, autoencoder = LatentSpace(Identity(), BlackBox(soft)), Identity()
    alone = [work(space.seen_by()) for work in WALKS]
    shared = LatentSpace(autoencoder, BlackBox(soft))
    together = side_by_side(shared, WALKS)
    for (seen, queried), (seen_alone, queried_alone) in zip(together, alone, strict=True):
        assert queried == queried_alone
        assert all(torch.equal(a, b) for a, b in zip(seen, seen_alone, strict=True))
    assert [queried for _, queried in together] == [2 * (2**steps - 1) for steps in (1, 4, 3, 3)]
    assert shared.black_box.images == sum(queried for _, queried in together)
    assert len(autoencoder.decoded) == 2 * 4, "of the longest walk, though 11 steps were walked"
    assert max(autoencoder.decoded) == 4 + 4 + 4, "three walks at once"


def test_what_a_piece_gets_is_its_own():
    """A row of a common tensor would keep all of it in memory, and in the file that it is saved to."""
    space = LatentSpace(Identity(), BlackBox(soft))
    codes = [torch.full((n, 2), 0.4) for n in (1, 500)]
    points, _ = side_by_side(space, [lambda space, z=z: space.classify(z) for z in codes])
    assert [t.untyped_storage().nbytes() for t in (points.latents, points.images, points.scores)] == [8, 8, 8]


def refusing(images):
    if bool((images[:, 0, 0, 0] > 0.8).any()):
        raise ValueError("too bright")
    return soft(images)


def test_an_error_ends_the_piece_that_it_belongs_to_alone():
    def gives_up(space):
        space.decode(torch.zeros(1, 2))
        raise NeighborhoodError("none")

    def copes(space):
        try:
            space.classify(torch.tensor([[0.9, 0.5]]))
        except AbeleError:
            return "noticed"

    space = LatentSpace(Identity(), BlackBox(refusing))
    bright, dark = partial(walk, 0.85, 2), partial(walk, 0.5, 2)
    found = side_by_side(space, [bright, dark, gives_up, copes])
    assert isinstance(found[0], BlackBoxError)
    assert "too bright" in str(found[0])
    assert torch.equal(found[1][0][0], dark(space.seen_by())[0][0])
    assert found[2].args == ("none",)
    assert found[3] == "noticed"


def test_any_other_error_ends_all():
    def wrong(space):
        space.decode(torch.zeros(1, 2))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side(LatentSpace(Identity(), BlackBox(hard)), [WALKS[0], wrong])


def test_work_may_ask_nothing_and_there_may_be_none():
    space = LatentSpace(Identity(), BlackBox(hard))
    assert side_by_side(space, [lambda space: 1, lambda space: len(space.classify(torch.zeros(0, 2)))]) == [1, 0]
    assert side_by_side(space, []) == []


def test_work_side_by_side_may_itself_be_a_piece():
    space = LatentSpace(Identity(), BlackBox(soft))
    inner = lambda space: side_by_side(space, WALKS[:2])  # noqa: E731
    found = side_by_side(space, [inner, WALKS[2]])
    assert found[0][1][1] == 30
    assert found[1][1] == 14
