"""Work on one latent space side by side: what several pieces ask at a time goes to the models in one call.

Each piece is an ordinary function of a space, written as if it were alone. It runs in a greenlet, a function that can
be left in the middle: where it asks something of the space, it waits until most others wait for the same. All is done
in one thread, and in the same order each time.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor

from ..errors import AbeleError
from .space import Call, LatentSpace

T = TypeVar("T")


class _Question(NamedTuple):
    call: Call
    rows: Tensor


def side_by_side(space: LatentSpace, works: Sequence[Callable[[LatentSpace], T]]) -> list[T | AbeleError]:
    """What each piece of work returns, or the error that ends it, in order.

    Every piece gets what it would get alone: a row's answer does not depend on the rows beside it. Where one piece
    makes a common call fail, the calls are made one by one, and only that piece fails.

    Args:
        space: where; asked with the rows of several pieces together, in batches of its own size.
        works: pieces of work. None may open a context around a call of the space that others must not see.
    """
    hub, results, waiting = getcurrent(), dict[int, T | AbeleError](), dict[int, _Question]()
    seen = space.seen_by(lambda call, rows: hub.switch(_Question(call, rows)))
    pieces = [greenlet(work) for work in works]

    def go_on(i: int, act: Callable[..., Any], value: Any) -> None:
        try:
            found = act(value)
        except AbeleError as error:
            results[i] = error
            return
        (results if pieces[i].dead else waiting)[i] = found

    for i, piece in enumerate(pieces):
        go_on(i, piece.switch, seen.seen_by(seen._ask))
    while waiting:
        call = Counter(question.call for question in waiting.values()).most_common(1)[0][0]
        asking = {i: waiting.pop(i).rows for i in sorted(waiting) if waiting[i].call is call}
        for i, answer in zip(asking, _answers(space, call, list(asking.values())), strict=True):
            go_on(i, pieces[i].throw if isinstance(answer, AbeleError) else pieces[i].switch, answer)
    return [results[i] for i in range(len(works))]


def _answers(space: LatentSpace, call: Call, asked: list[Tensor]) -> Iterator[Any]:
    """Each answer, or the error in its place."""
    try:
        found = call(space, torch.cat(asked))
    except AbeleError as error:
        yield from [error] if len(asked) == 1 else (part for rows in asked for part in _answers(space, call, [rows]))
        return
    if len(asked) == 1:
        yield found
        return
    end = 0
    for rows in asked:
        start, end = end, end + len(rows)
        yield _part(found, slice(start, end))


def _part(found: Any, rows: slice) -> Any:
    """Some rows of a tensor, or of a record's tensors, in memory of their own: the whole need not be kept for them."""
    if isinstance(found, Tensor):
        return found[rows].clone()
    if not is_dataclass(found) or isinstance(found, type):
        return found
    tensors = {f.name: getattr(found, f.name) for f in fields(found) if isinstance(getattr(found, f.name), Tensor)}
    return replace(found, **{name: _part(value, rows) for name, value in tensors.items()})
