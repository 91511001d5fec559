"""An audit: which labels of a black box follow something that is not the object itself, where it lies, with evidence.

Interventions detect and maps localise. Whether what a label follows is legitimate is for the reader to say.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ..black_boxes.black_box import BlackBox
from ..black_boxes.kept import KeptAnswers
from ..black_boxes.outputs import Answer
from ..checking.parameters import ClassNames, Count, SmallSeed, between, checked
from ..class_names import name_of
from ..datasets.images import check_image
from ..errors import ParameterError
from ..latent.space import LatentSpace
from ..models.autoencoder import Autoencoder
from .detection import LIMITS, Effect, Pairs, effects_of, log_odds_of
from .operators import Ground, Level, Operator, Residual
from .places import Place, kind_of, map_of_change, only_inside, side_of

N_IMAGES, N_PAIRS = 800, 2600
FEWEST = 40  # images
Progress = Callable[[str, int], object]
_N_MAPPED, _N_FRESH, _N_SHOWN = 10, 10, 6
_ALONE = 0.1  # share of what the whole exchange does that a window has to do alone, to be the place of it
_LOST = 0.1  # more of one label's images than of the other's: the mark is on these


@dataclass(frozen=True, eq=False)
class Example:
    """A pair of images before and after an exchange, which gave the first the label.

    Attributes:
        before, donor, after: (C, H, W) in [0, 1].
        label_before: that the black box predicts.
        given: whether it predicts the label after the exchange.
    """

    before: Tensor
    donor: Tensor
    after: Tensor
    label_before: int
    given: bool


@dataclass(frozen=True, eq=False)
class Suspicion:
    """A label that follows something.

    Attributes:
        effects: of the operators whose exchange the label follows, the strongest first.
        place: where it lies.
        examples: a few pairs.
        direction: of the strongest, how images with the label differ from others in it: ``"lighter"``, ``"darker"``;
            empty where there is no word for it.
    """

    effects: tuple[Effect, ...]
    place: Place
    examples: tuple[Example, ...]
    direction: str = ""

    @property
    def label(self) -> int:
        """The label."""
        return self.effects[0].label


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Attributes:
        suspicions: labels that follow something, the clearest first.
        effects: of every operator that could be used and every label.
        objections: operator -> why it could not be used.
        words: operator -> what it exchanges.
        kept: of each label the share of its images that keep it where the autoencoder draws them; None without images
            of the label; empty without an autoencoder.
        counts: of each label the number of images to which the black box gives it.
        class_names: of the labels, or none.
        black_box_images: how many the black box was queried for.
        seconds: of the audit.
        params: options, and what the models are.
    """

    suspicions: tuple[Suspicion, ...]
    effects: tuple[Effect, ...]
    objections: dict[str, str]
    words: dict[str, str]
    kept: tuple[float | None, ...]
    counts: tuple[int, ...]
    class_names: tuple[str, ...]
    black_box_images: int
    seconds: float
    params: dict[str, Any]

    def name(self, label: int) -> str:
        """The name of a label, or its number."""
        return name_of(self.class_names, label)


@checked
def audit(
    images: Tensor,
    black_box: Any,
    autoencoder: Autoencoder | None = None,
    *,
    n_images: Count = N_IMAGES,
    n_pairs: Annotated[int, between(20, 10**6)] = N_PAIRS,
    seed: SmallSeed = 0,
    batch_size: Count = 256,
    class_names: ClassNames = None,
    answers: KeptAnswers | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look for what the labels of a black box follow, beside the object itself.

    Random pairs of images exchange one thing at a time: what is around the object, how light the image is, and what an
    autoencoder does not draw. A label follows it where donors of the label give it to others, or take it away, more
    than other donors do. One half of the pairs chooses, the other confirms. Maps of the exchange then say where it
    lies.

    Args:
        images: (N, C, H, W) float in [0, 1], of all labels; at least 40.
        black_box: as for :class:`~abele_py.Abele`.
        autoencoder: trained on such images, best on some that cannot hold a mark; None: two of three exchanges.
        n_images: most images, drawn at random.
        n_pairs: of each exchange.
        seed: of all randomness.
        batch_size: most images in one call.
        class_names: as for :class:`~abele_py.Abele`.
        answers: where those of the black box are kept: interrupted, the same call goes on with them. The first batch is
            asked anew, so that answers of another black box are not taken.
        progress: called with what is being done, in words, and the number of images that have an answer.

    Raises:
        ParameterError: too few images, or all have one label.
        ImageError: an image is not of the autoencoder's shape, or not in [0, 1].
        BlackBoxError, AutoencoderError: a model cannot be used.
    """
    start = time.perf_counter()
    if images.ndim != 4 or len(images) < FEWEST:
        raise ParameterError(
            f"got images of shape {tuple(images.shape)}; expected at least {FEWEST}, (N, C, H, W) float in [0, 1]"
        )
    c, h, w = images.shape[1:] if autoencoder is None else autoencoder.image_shape
    shape, generator = (c, h, w), np.random.default_rng(seed)
    chosen = np.sort(generator.choice(len(images), min(n_images, len(images)), replace=False))
    pool = torch.stack([check_image(image, shape) for image in images[torch.from_numpy(chosen)]])
    queries = _Queries(BlackBox(black_box, batch_size, class_names), answers, progress or (lambda *_: None))
    answer = queries(pool)
    n_labels = queries.box.n_classes or int(answer.labels.max()) + 1
    if len(answer.labels.unique()) < 2:
        raise ParameterError(
            f"got {len(pool)} images, to all of which the black box gives one label; expected several; bring images of "
            "all classes"
        )
    before = log_odds_of(answer, n_labels)
    operators: list[Operator] = [Ground(pool), Level(pool)]
    kept: tuple[float | None, ...] = ()
    if autoencoder is not None:
        residual = Residual(pool, LatentSpace(autoencoder, queries.box, None))
        operators.append(residual)
        queries.purpose = "labels of what the autoencoder draws"
        kept = _kept(answer.labels, queries(residual.drawn).labels, n_labels)
    objections = {operator.name: operator.objection for operator in operators if operator.objection}
    if autoencoder is None:
        objections["residual"] = "it needs an autoencoder"
    found: dict[str, Pairs] = {}
    usable = [operator for operator in operators if not operator.objection]
    for operator in usable:
        queries.purpose = f"exchanging {operator.words}"
        found[operator.name] = _exchanged(operator, before, queries, n_pairs, generator, batch_size)

    suspicions, effects = list[Suspicion](), list[Effect]()
    known: list[int] = []
    while True:
        now = [
            effect
            for operator in usable
            for effect in effects_of(operator.name, found[operator.name], answer.labels, seed, known)
        ]
        effects = effects or now
        best = _clearest([e for e in now if e.follows], kept)
        if best is None:
            break
        followed = sorted((e for e in now if e.follows and e.label == best.label), key=_strength, reverse=True)
        queries.purpose = f"looking for the place of what label {best.label} follows"
        (operator,) = (operator for operator in usable if operator.name == best.operator)
        suspicions.append(
            _suspicion(followed, operator, found[best.operator], pool, answer.labels, queries, seed, generator)
        )
        known.append(best.label)  # what it follows is a difference between other donors too
    return Audit(
        suspicions=tuple(suspicions),
        effects=tuple(effects),
        objections=objections,
        words={operator.name: operator.words for operator in (Ground, Level, Residual)},
        kept=kept,
        counts=tuple(torch.bincount(answer.labels, minlength=n_labels).tolist()),
        class_names=tuple(queries.box.class_names),
        black_box_images=queries.asked,
        seconds=time.perf_counter() - start,
        params={"n_images": len(pool), "n_pairs": n_pairs, "seed": seed},
    )


class _Queries:
    """Queries the black box, and counts; what was answered before an interruption is not asked again."""

    def __init__(self, box: BlackBox, kept: KeptAnswers | None, progress: Progress) -> None:
        self.box, self.asked, self.purpose = box, 0, "labels"
        self._kept, self._progress = kept, progress

    def __call__(self, images: Tensor) -> Answer:
        parts = [self._batch(batch) for batch in images.split(self.box.batch_size)]
        scores = [part.scores for part in parts if part.scores is not None]
        return Answer(torch.cat([part.labels for part in parts]), torch.cat(scores) if scores else None, parts[0].scale)

    def _batch(self, images: Tensor) -> Answer:
        self._progress(self.purpose, self.asked)
        # the first is always asked: by it the black box is known again, and knows its own classes
        answer = self._kept.get(images) if self._kept is not None and self.asked else None
        if answer is None:
            answer = self.box(images)
            if self._kept is not None:
                if not self.asked:
                    self._kept.check(images, answer)
                self._kept.put(images, answer)
        self.asked += len(images)
        return answer


def _exchanged(
    operator: Operator, before: Tensor, queries: _Queries, n: int, generator: np.random.Generator, batch_size: int
) -> Pairs:
    recipients, donors = (torch.from_numpy(generator.integers(0, len(before), n)) for _ in range(2))
    labels, rises = [], []
    for rows in torch.arange(n).split(batch_size):
        answer = queries(operator.exchanged(recipients[rows], donors[rows]))
        labels.append(answer.labels)
        rises.append(log_odds_of(answer, before.shape[1]) - before[recipients[rows]])
    return Pairs(recipients, donors, torch.cat(labels), torch.cat(rises))


def _suspicion(
    effects: Sequence[Effect], operator: Operator, pairs: Pairs, pool: Tensor, labels: Tensor, queries: _Queries,
    seed: int, generator: np.random.Generator,
) -> Suspicion:  # fmt: skip
    label = effects[0].label
    moved = (labels[pairs.recipients] != label) & (labels[pairs.donors] == label)
    given = (moved & (pairs.labels == label)).nonzero()[:, 0]
    # where hardly any image gets the label, those whose log-odds rise most
    rows = (
        given if len(given) >= _N_MAPPED else pairs.log_odds[:, label].where(moved, -torch.inf).argsort(descending=True)
    )
    rows = rows[: min(_N_MAPPED, int(moved.sum()))]
    before, after = pool[pairs.recipients[rows]], operator.exchanged(pairs.recipients[rows], pairs.donors[rows])

    def probability(some: Tensor) -> Tensor:
        return queries(some).probability(label)

    maps = torch.stack([map_of_change(*both, probability, seed) for both in zip(before, after, strict=True)])
    side = side_of(*pool.shape[2:])
    kind, window, windows = kind_of(maps, side)
    rate, elsewhere, n = _confirmed(
        operator, pairs.donors[rows], [window or own for own in windows], label, pool, labels, queries, generator
    )
    donors = pool[pairs.donors[rows]]
    shown = [
        Example(before[i], donors[i], after[i], int(labels[pairs.recipients[row]]), int(pairs.labels[row]) == label)
        for i, row in enumerate(rows[:_N_SHOWN].tolist())
    ]
    if rate - elsewhere < _ALONE * (effects[0].added - effects[0].added_by_others):
        kind, window = "none", None
    place = Place(
        kind, window, tuple(windows), tuple(pairs.donors[rows].tolist()), maps.mean(dim=0), rate, elsewhere, n
    )
    return Suspicion(tuple(effects), place, tuple(shown), operator.direction(labels == label))


def _confirmed(
    operator: Operator, donors: Tensor, windows: Sequence[tuple[int, int, int]], label: int, pool: Tensor,
    labels: Tensor, queries: _Queries, generator: np.random.Generator,
) -> tuple[float, float, int]:  # fmt: skip
    """How often the window alone gives fresh images the label, and a window elsewhere; and the number of images."""
    others = (labels != label).nonzero()[:, 0].numpy()
    height, width = pool.shape[2:]
    inside, elsewhere = [], []
    for donor, window in zip(donors, windows, strict=True):
        fresh = torch.from_numpy(generator.choice(others, min(_N_FRESH, len(others)), replace=False))
        after = operator.exchanged(fresh, donor.expand(len(fresh)))
        inside.append(only_inside(pool[fresh], after, window))
        side = window[2]
        random = int(generator.integers(0, height - side + 1)), int(generator.integers(0, width - side + 1)), side
        elsewhere.append(only_inside(pool[fresh], after, random))
    rates = [float((queries(torch.cat(some)).labels == label).double().mean()) for some in (inside, elsewhere)]
    return rates[0], rates[1], sum(map(len, inside))


def _kept(labels: Tensor, again: Tensor, n_labels: int) -> tuple[float | None, ...]:
    same = (labels == again).double()
    return tuple(float(same[rows].mean()) if (rows := labels == y).any() else None for y in range(n_labels))


def _clearest(effects: Sequence[Effect], kept: Sequence[float | None]) -> Effect | None:
    """The effect that is farthest beyond its limit.

    Of two labels in all, that one follows a mark is that the other follows its absence, and both effects are alike. The
    mark is then on the images whose label is lost where the autoencoder, which cannot draw it, draws them.
    """
    if len(kept) == 2 and None not in kept and abs(kept[0] - kept[1]) >= _LOST:  # type: ignore[operator]
        marked = [e for e in effects if kept[e.label] == min(kept)]  # type: ignore[type-var]
        effects = marked or effects
    return max(effects, key=_strength, default=None)


def _strength(effect: Effect) -> float:
    """How far an effect is beyond its limit."""
    return effect.log_odds / LIMITS[effect.operator].log_odds
