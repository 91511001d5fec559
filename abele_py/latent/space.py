"""What the black box predicts at a point of the latent space: the two seams, autoencoder and black box, joined.

Everything above works on latent points through this file alone; devices, batches and modes are dealt with here.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from functools import cached_property, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..batching import ROWS
from ..black_boxes.black_box import BlackBox
from ..black_boxes.modules import device_of, evaluating
from ..black_boxes.outputs import Answer
from ..checking.parameters import checked
from ..errors import AutoencoderError, ParameterError
from ..models.autoencoder import Autoencoder
from ..models.mixture import Mixture
from .detail import Detail

P = TypeVar("P", bound="Points")
T = TypeVar("T")

_NUMBERS = 2**22  # at most in the images of one batch: 16 MB, several times of which are at work on them

_PROTOCOL = ("encode", "decode", "discriminate", "latent_dim", "image_shape", "validity_threshold", "reference_latents")


@dataclass(frozen=True)
class Points:
    """N latent points with their images and what the black box answered.

    Attributes:
        latents: (N, k) float32.
        images: (N, C, H, W) float32 in [0, 1], the decoded points; (N, 0) where they are not kept.
        labels: (N,) int64, the black box's labels of ``images``.
        scores: (N, K) float32, or None for a black box that answers labels only.
    """

    latents: Tensor
    images: Tensor
    labels: Tensor
    scores: Tensor | None

    def __len__(self) -> int:
        return len(self.latents)

    def without_images(self) -> "Points":
        """The same points, their images not kept: of many they take most of the memory."""
        return Points(self.latents, torch.zeros(len(self), 0), self.labels, self.scores)

    def __getitem__(self: P, index: Tensor | slice) -> P:
        """The chosen rows of every field."""
        values = (getattr(self, f.name) for f in fields(self))
        chosen: Any = [None if v is None else v[index] for v in values]
        return type(self)(*chosen)


def concatenate(parts: list[Points]) -> Points:
    """All points, in order; the parts come from one black box."""
    scores = [p.scores for p in parts if p.scores is not None]
    return Points(
        torch.cat([p.latents for p in parts]),
        torch.cat([p.images for p in parts]),
        torch.cat([p.labels for p in parts]),
        torch.cat(scores) if scores else None,
    )


Call = Callable[["LatentSpace", Tensor], Any]  # of N rows what is answered to each: N rows of a tensor, of points, ...


def _asked(call: Callable[["LatentSpace", Tensor], T]) -> Callable[["LatentSpace", Tensor], T]:
    """A method of rows, each answered by itself: where somebody is to be asked instead, they are given both."""

    @wraps(call)
    def asked(space: "LatentSpace", rows: Tensor) -> T:
        return space.ask(call, rows)

    return asked


@dataclass
class _Tally:
    """Counts images."""

    images: int = 0


class LatentSpace:
    """An autoencoder's latent space, labelled by a black box.

    Args:
        autoencoder: keeps the protocol :class:`~abele_py.models.autoencoder.Autoencoder`.
        black_box: the checked black box; its ``batch_size`` bounds the autoencoder's batches too.
        validity_threshold: points with a smaller ``discriminate`` are not valid; the autoencoder's own if None.

    Attributes:
        batch_size: most rows in one call: the black box's, or fewer of large images, which would take much memory.

    Raises:
        AutoencoderError: where the autoencoder does not keep the protocol.
    """

    _ask: Callable[[Call, Tensor], Any] | None = None
    _detail: Detail | None = None

    @checked
    def __init__(self, autoencoder: Autoencoder, black_box: BlackBox, validity_threshold: float | None = None) -> None:
        missing = [name for name in _PROTOCOL if not hasattr(autoencoder, name)]
        if missing:
            raise AutoencoderError(
                f"got an autoencoder of type {type(autoencoder).__name__} without {', '.join(missing)}; expected the "
                "protocol abele_py.Autoencoder; load one with load_autoencoder(name) or add what is missing"
            )
        self.autoencoder = autoencoder
        self.black_box = black_box
        self.keeps_images, self._tally = True, _Tally()
        self.k = autoencoder.latent_dim
        self.image_shape = autoencoder.image_shape
        fitting = _NUMBERS // math.prod(self.image_shape) // ROWS * ROWS
        self.batch_size = min(black_box.batch_size, max(ROWS, fitting))
        self.validity_threshold = autoencoder.validity_threshold if validity_threshold is None else validity_threshold
        self.reference_latents = autoencoder.reference_latents.detach().float().cpu()
        if (
            self.reference_latents.ndim != 2
            or self.reference_latents.shape[1] != self.k
            or len(self.reference_latents) < 2
        ):
            raise AutoencoderError(
                f"got reference_latents of shape {tuple(self.reference_latents.shape)}; expected (M >= 2, {self.k}); "
                "call autoencoder.calibrate(validation_latents, reference_latents) after training"
            )

    def seen_by(self, ask: Callable[[Call, Tensor], Any] | None = None) -> "LatentSpace":
        """The same space for one explanation beside others, with a count of its own.

        Args:
            ask: is given every call that is made and its rows, and returns what ``call(space, rows)`` returns, now or
                when others have asked too; None: nobody is asked.
        """
        own = copy.copy(self)
        own._tally, own._ask = _Tally(), ask
        return own

    def without_images(self) -> "LatentSpace":
        """The same space and count, whose ``classify`` keeps no images."""
        bare = copy.copy(self)
        bare.keeps_images = False
        return bare

    def detailed(self, image: Tensor, reconstruction: Tensor, latent: Tensor, share: float) -> "LatentSpace":
        """The same space and count, whose images near a code show what the autoencoder does not draw of its image.

        It ends at the nearest code of a real image, so that the images of all of these stay as they are.

        Args:
            image: (C, H, W).
            reconstruction: (C, H, W), its code decoded.
            latent: (k,) the code.
            share: how much of what the reconstruction lacks is carried over: 1 shows the image itself at its code.
        """
        if share == 0:
            return self
        detailed = copy.copy(self)
        detailed._detail = Detail(share * (image - reconstruction), latent, local_radius(self, latent, neighbors=1))
        return detailed

    @property
    def queried(self) -> int:
        """Number of images for which the black box was queried, by ``classify`` and ``query``."""
        return self._tally.images

    @property
    def device(self) -> torch.device:
        """Where the autoencoder is now, and where it encodes and decodes. What leaves the space is in main memory."""
        return device_of(self.autoencoder)

    @property
    def mixture(self) -> Mixture | None:
        """The mixture of its codes that the autoencoder has now, where it is now; None where it has none."""
        return getattr(self.autoencoder, "mixture", None)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Autoencoder and black box in evaluation mode for as many calls as are made inside, not for each by itself."""
        with _evaluating(self.autoencoder), _evaluating(self.black_box.classifier):
            yield

    def probe(self) -> None:
        """Try autoencoder and black box on decoded reference codes: is each a function of its input alone?

        Raises:
            AutoencoderError, BlackBoxError: where one is not.
        """
        latents = self.reference_latents[:16]
        images = self.decode(latents)
        codes = self.encode(images)
        for again, alone, first in (
            (self.decode(latents), self.decode(latents[:1]), images),
            (self.encode(images), self.encode(images[:1]), codes),
        ):
            if not torch.allclose(first, again, atol=1e-5) or not torch.allclose(first[:1], alone, atol=1e-4):
                raise AutoencoderError(
                    "got different answers of the autoencoder for the same input; expected encode and decode without "
                    "randomness, each row on its own; use the mean of a stochastic encoder, and eval mode"
                )
        self.black_box.probe(images)

    def ask(self, call: Callable[["LatentSpace", Tensor], T], rows: Tensor) -> T:
        """What a call answers to rows, each by itself: alone, or with the rows of explanations made beside this one."""
        return call(self, rows) if self._ask is None else self._ask(call, rows)

    @_asked
    def encode(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, k)."""
        return self._apply(self.autoencoder.encode, images, (self.k,)).cpu()

    def decode(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N, C, H, W)."""
        images = self._drawn(latents)
        return images if self._detail is None else self._detail.added_to(images, latents)

    @_asked
    def _drawn(self, latents: Tensor) -> Tensor:
        return self._decoded(latents).cpu()

    def _decoded(self, latents: Tensor) -> Tensor:
        """As ``decode``, where the autoencoder is."""
        images = self._apply(self.autoencoder.decode, latents, self.image_shape)
        low, high = map(float, images.aminmax()) if len(images) else (0.0, 1.0)
        if low < 0 or high > 1:
            raise AutoencoderError(
                f"got pixels from {low:.4g} to {high:.4g} of decode; expected [0, 1]; end the decoder with a sigmoid"
            )
        return images

    @_asked
    def realism(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) float32: the discriminator's answer for the point; higher is more realistic."""
        return self._apply(self.autoencoder.discriminate, latents, ()).cpu()

    @_asked
    def typicality(self, latents: Tensor) -> Tensor | None:
        """(N, k) -> (N,) float32 in [0, 1], or None: share of unseen images whose codes are no more likely.

        By the autoencoder's mixture of its codes; None where it has none.
        """
        mixture = self.mixture
        if mixture is None:
            return None

        def typicality(points: Tensor) -> Tensor:
            return mixture.typicality(points.to(mixture.means.device))

        return self._apply(typicality, latents, ()).cpu()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n samples of the autoencoder's mixture of its codes, (n, k) float32.

        Raises:
            ParameterError: it has none.
        """
        mixture = self.mixture
        if mixture is None:
            raise ParameterError(
                f"got an autoencoder of type {type(self.autoencoder).__name__} without a mixture of its codes; "
                "expected one, to draw neighbors from; train it again, or pass mixture=fit_mixture(train_codes, "
                "val_codes) to its calibrate; or choose another neighborhood"
            )
        return mixture.sample(n, generator)

    def gradients(self, loss: Callable[..., Tensor], latents: Tensor, *rows: Tensor) -> Tensor:
        """The gradient, at each of N points, of a loss of its own image: (N, k).

        Args:
            loss: of some points (n, k), their images (n, C, H, W), the discriminator's answers (n,) and the same
                points' ``rows``, all where the autoencoder is: (n,), each of one point alone.
            latents: (N, k).
            rows: tensors of N rows.

        Raises:
            Exception: whatever an autoencoder raises that has no gradients, see :meth:`has_gradients`.
        """
        model, found = self.autoencoder, []
        with _evaluating(model), torch.inference_mode(False), torch.enable_grad():
            for parts in zip(*(all_rows.split(self.batch_size) for all_rows in (latents, *rows)), strict=True):
                points, *others = (part.to(self.device, copy=True) for part in parts)
                points.requires_grad_()
                values = loss(points, model.decode(points), model.discriminate(points), *others)
                found.append(torch.autograd.grad(values.sum(), points)[0].cpu())
        return torch.cat(found)

    @cached_property
    def has_gradients(self) -> bool:
        """Whether images and the discriminator's answers can be followed back to their points."""
        try:
            found = self.gradients(
                lambda _, images, realism: images.flatten(1).sum(dim=1) + realism, self.reference_latents[:1]
            )
        except Exception:  # noqa: BLE001 - an autoencoder of the user's may be anything: numpy inside, a compiled graph, ...
            return False
        return bool(torch.isfinite(found).all())

    def valid(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) bool: does the discriminator find the point realistic?"""
        return self.realism(latents).double() >= self.validity_threshold

    def classify(self, latents: Tensor) -> Points:
        """Decode the points and query the black box: one decode and one black-box call per batch.

        The images go straight from the autoencoder's device to the black box's.
        """
        self._tally.images += len(latents)
        if self._detail is not None:
            return concatenate([self._detailed(batch) for batch in latents.split(self.batch_size)])
        return self._classified(latents) if self.keeps_images else self._labelled(latents)

    def query(self, images: Tensor) -> Answer:
        """The black box's answer to images (N, C, H, W) that no code was decoded to."""
        self._tally.images += len(images)
        return self._answered(images)

    @_asked
    def _classified(self, latents: Tensor) -> Points:
        return concatenate([replace(points, images=points.images.cpu()) for points in self._points(latents)])

    @_asked
    def _labelled(self, latents: Tensor) -> Points:
        return concatenate([points.without_images() for points in self._points(latents)])

    @_asked
    def _answered(self, images: Tensor) -> Answer:
        return self.black_box(images)

    def _detailed(self, latents: Tensor) -> Points:
        images = self.decode(latents)
        points = Points(latents, images, *self._answered(images))
        return points if self.keeps_images else points.without_images()

    def _points(self, latents: Tensor) -> Iterator[Points]:
        """Batch by batch, images where the autoencoder is."""
        for batch in latents.split(self.batch_size):
            images = self._decoded(batch)
            yield Points(batch, images, *self.black_box(images))

    def _apply(self, function: Callable[[Tensor], Tensor], rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        if len(rows) == 0:
            return torch.zeros(0, *shape)
        device = self.device
        name = getattr(function, "__name__", "the autoencoder")
        try:
            with _quiet(self.autoencoder):
                answers = [function(b.to(device)) for b in rows.split(self.batch_size)]
        except (Exception, SystemExit) as error:
            raise AutoencoderError(
                f"{name} of the autoencoder raised {type(error).__name__}: {error}; it was given a float32 tensor of "
                f"shape {tuple(rows.shape)}; try it on such a batch"
            ) from error
        if not all(isinstance(a, Tensor) for a in answers):
            raise AutoencoderError(f"got {type(answers[0]).__name__} of {name}; expected a tensor; convert it there")
        out = torch.cat([a.float() for a in answers])
        if tuple(out.shape) != (len(rows), *shape):
            raise AutoencoderError(
                f"got shape {tuple(out.shape)} of {name}; expected {(len(rows), *shape)}; check the autoencoder"
            )
        if not bool(torch.isfinite(out.sum())):
            raise AutoencoderError(f"got NaN or infinity of {name}; expected finite values; check the autoencoder")
        return out


def local_radius(space: LatentSpace, latent: Tensor, neighbors: int = 20) -> float:
    """Distance that counts as near a code (k,): the median distance to its nearest reference codes of real images.

    The code itself, should it be among them, does not count.
    """
    distances = (space.reference_latents - latent).norm(dim=1)
    distances = distances[distances > 0]
    return float(distances.sort().values[:neighbors].median()) if len(distances) else 1.0


def _evaluating(model: Any) -> AbstractContextManager[None]:
    return evaluating(model) if isinstance(model, nn.Module) else nullcontext()


@contextmanager
def _quiet(autoencoder: Any) -> Iterator[None]:
    """Evaluation mode and no gradients; the autoencoder is left as it was found."""
    with _evaluating(autoencoder), torch.no_grad():
        yield
