"""The adversarial autoencoder's networks. Training lives in ``training``, files in ``checkpoints``."""

import copy
import math
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..batching import FEW_ROWS, padded
from ..checking.parameters import NotEmpty, NotNegative, Shape, Share, Size, between, checked
from ..errors import ParameterError
from .adam import Adam
from .mixture import N_QUANTILES, Mixture
from .pca_networks import PcaDecoder, PcaEncoder, Restoration, linear_layers, silence
from .principal import PrincipalComponents

_TAUGHT = 0.25  # share of the refinement's steps that follow the teacher too


class AdversarialAutoencoder(nn.Module):
    """Adversarial autoencoder with a deterministic encoder (Makhzani et al. 2015, arXiv 1511.05644, section 2).

    Args:
        image_shape: (C, H, W).
        latent_dim: k, number of latent coordinates.
        architecture: ``"mlp"`` or ``"conv"`` for encoder and decoder; ``"conv-mlp"``: a convolutional encoder, and a
            decoder of linear layers, which is what an explanation calls a thousand times; ``"pca"``: principal
            components, and linear layers that learn what is better than these, see ``start_from``.
        hidden: widths of the hidden layers; convolutional parts use the last one, between convolutions and code.
        channels: channels of the stride-2 convolutions; ``"mlp"`` has none.
        discriminator_hidden: widths of the discriminator's hidden layers.
        n_references: number of reference codes that ``calibrate`` has stored.
        n_components: components of the mixture that ``calibrate`` has stored; 0 without one.
        refinement: steps by which ``encode`` improves the encoder's answer; 0 takes it as it is.
        n_features: principal components that the encoder of ``"pca"`` is given, k or more of them.
        n_labels: K, labels that its teacher tells apart, see ``encode``; 0: it has none.
        teacher_weight: of the teacher's answers in the refinement, beside the mean squared error of the pixels.
        restoration: channels of the convolutions that restore what the decoder of ``"pca"`` draws, see
            ``with_restoration``; 0: it has none.
    """

    @checked
    def __init__(
        self,
        image_shape: Shape = (1, 28, 28),
        latent_dim: Size = 8,
        architecture: Literal["mlp", "conv", "conv-mlp", "pca"] = "mlp",
        hidden: Annotated[Sequence[Size], NotEmpty()] = (512, 512),
        channels: Sequence[Size] = (32, 64),
        discriminator_hidden: Annotated[Sequence[Size], NotEmpty()] = (256, 256),
        n_references: Annotated[int, between(0, 10**6)] = 0,
        n_components: Annotated[int, between(0, 10**4)] = 0,
        refinement: Annotated[int, between(0, 10**4)] = 0,
        n_features: Annotated[int, between(0, 2**20)] = 0,
        n_labels: Annotated[int, between(0, 2**20)] = 0,
        teacher_weight: NotNegative = 0.0,
        restoration: Annotated[int, between(0, 2**10)] = 0,
    ) -> None:
        super().__init__()
        widths = [hidden, discriminator_hidden, *([channels] if "conv" in architecture else [])]
        sizes = [latent_dim, *image_shape, *(size for row in widths for size in row)]
        if len(image_shape) != 3 or not all(widths) or not all(isinstance(s, int) and s >= 1 for s in sizes):
            raise ParameterError(
                f"got image_shape={image_shape}, latent_dim={latent_dim}, hidden={hidden}, channels={channels}, "
                f"discriminator_hidden={discriminator_hidden}; expected (C, H, W) and whole numbers of at least 1"
            )
        if min(n_references, n_components, refinement) < 0:
            raise ParameterError(
                f"got n_references={n_references}, n_components={n_components}, refinement={refinement}; expected 0 or "
                "more of each"
            )
        self.latent_dim = latent_dim
        self.image_shape: tuple[int, int, int] = (image_shape[0], image_shape[1], image_shape[2])
        self.config: dict[str, Any] = {
            "image_shape": list(image_shape),
            "latent_dim": latent_dim,
            "architecture": architecture,
            "hidden": list(hidden),
            "channels": list(channels),
            "discriminator_hidden": list(discriminator_hidden),
            "n_references": n_references,
            "n_components": n_components,
            "refinement": refinement,
        }
        shape, k = self.image_shape, latent_dim
        self.encoder: nn.Module
        self.decoder: nn.Module
        if architecture == "pca":
            if not k <= n_features <= math.prod(shape):
                raise ParameterError(
                    f"got n_features={n_features} and latent_dim={k} for {math.prod(shape)} pixels; expected as many "
                    "features as coordinates or more, and no more than pixels"
                )
            self.config["n_features"] = n_features
            self.encoder, self.decoder = PcaEncoder(shape, k, n_features, hidden), PcaDecoder(shape, k, hidden)
        else:
            to_code, to_image = {"conv-mlp": ("conv", "mlp")}.get(architecture, (architecture, architecture))
            conv = shape, k, hidden[-1], channels
            encoder = _mlp_encoder(shape, k, hidden) if to_code == "mlp" else _conv_encoder(*conv)
            # Standardised codes: mean 0 and variance 1 per coordinate come for free, the discriminator only has to see
            # to the rest, and the codes cannot collapse to a point before the decoder has learned to use them.
            self.encoder = nn.Sequential(encoder, nn.BatchNorm1d(k, affine=False))
            self.decoder = _mlp_decoder(shape, k, hidden) if to_image == "mlp" else _conv_decoder(*conv)
        self.teacher: nn.Module | None = None
        if restoration:
            self._restore(restoration)
        if n_labels:
            with torch.random.fork_rng(devices=[]):  # all else begins with the weights that it has without a teacher
                self.teacher = _teacher(shape, n_labels).requires_grad_(False)
            self.config |= {"n_labels": n_labels, "teacher_weight": teacher_weight}
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions of few channels take half the time on processors
        self.discriminator = nn.Sequential(
            *linear_layers([latent_dim, *discriminator_hidden], lambda: nn.LeakyReLU(0.2)),
            nn.Linear(discriminator_hidden[-1], 1),
        )
        self.register_buffer("_validity_threshold", torch.zeros((), dtype=torch.float64))
        self.register_buffer("_reference_latents", torch.zeros(n_references, latent_dim))
        # None has no place in the state: a checkpoint without a mixture looks as if there were no such thing.
        m = n_components
        for name, size in {"weights": (m,), "means": (m, k), "factors": (m, k, k), "quantiles": (N_QUANTILES,)}.items():
            self.register_buffer(f"_mixture_{name}", torch.zeros(size, dtype=torch.float64) if m else None)

    def start_from(self, components: PrincipalComponents) -> None:
        """Become principal component analysis: what is trained from here on is what is better than that.

        Codes are the coordinates of the first k components in units of their standard deviations, whose covariance is
        I, and decoded images are what these components draw. Coordinates without a component are 0.

        Raises:
            ParameterError: another architecture than ``"pca"``.
        """
        encoder, decoder = self._pca_parts()
        encoder.start_from(components)
        decoder.start_from(components)

    def without_residuals(self) -> "AdversarialAutoencoder":
        """The principal component analysis that the training of this network has started from; itself is kept.

        Raises:
            ParameterError: another architecture than ``"pca"``.
        """
        linear = copy.deepcopy(self)
        for part in linear._pca_parts():
            silence(part.residual)
        linear.config["refinement"] = 0  # projections are the best codes already
        linear.teacher = linear._pca_parts()[1].restoration = None
        for name in ("n_labels", "teacher_weight", "restoration"):
            linear.config.pop(name, None)
        return linear

    def with_restoration(self, channels: Size) -> "AdversarialAutoencoder":
        """This network with a restoration in its decoder, which adds nothing until it has learned; itself is kept.

        Raises:
            ParameterError: another architecture than ``"pca"``.
        """
        network = copy.deepcopy(self)
        network._restore(channels)
        return network

    def _restore(self, channels: int) -> None:
        self._pca_parts()[1].restoration = Restoration(self.image_shape[0], channels)
        self.config["restoration"] = channels

    def _pca_parts(self) -> "tuple[PcaEncoder, PcaDecoder]":
        if not (isinstance(self.encoder, PcaEncoder) and isinstance(self.decoder, PcaDecoder)):
            raise ParameterError(f"got architecture {self.config['architecture']!r}; expected 'pca'; train one")
        return self.encoder, self.decoder

    @property
    def validity_threshold(self) -> float:
        return float(self._validity_threshold)  # type: ignore[arg-type]

    @property
    def reference_latents(self) -> Tensor:
        return self._reference_latents  # type: ignore[return-value]

    @property
    def mixture(self) -> Mixture | None:
        """The mixture of the codes that ``calibrate`` was given, or None."""
        parts: list[Any] = [getattr(self, f"_mixture_{f.name}") for f in fields(Mixture)]
        return Mixture(*parts) if self.config["n_components"] else None

    def encode(self, images: Tensor) -> Tensor:
        """The encoder's codes, then ``refinement`` steps from each towards the code that decodes to its image.

        An encoder learned on other images misses the best code of an unseen one (the amortisation gap, Cremer et al.
        2018, arXiv 1801.03558). Adam on the squared error of each image, its codes alone; the result has no gradient.

        The error of the pixels hardly feels the few that decide a label: steps that follow it alone lose labels that
        the encoder had kept. With a teacher, a small classifier, ``teacher_weight`` times the cross entropy of its
        answers to the decoded image with those to the image is added to the mean squared error: a perceptual loss
        (Johnson et al. 2016, arXiv 1603.08155; Dosovitskiy, Brox 2016, arXiv 1602.02644) of the last layer. In the last
        quarter of the steps alone: it takes longer than a decoder, and what it moves the pixels had settled.
        """
        codes = padded(self.encoder, images)
        return padded(self._refined, images, codes, multiple=FEW_ROWS) if self.config["refinement"] else codes

    def _refined(self, images: Tensor, codes: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            images, codes = images.detach().clone(), codes.detach().clone().requires_grad_()
            descent = Adam(codes, lr=0.05)
            teacher, weight = self.teacher, self.config.get("teacher_weight", 0.0) * math.prod(self.image_shape)
            answers = None if teacher is None else teacher(images).softmax(dim=1).detach()
            steps = self.config["refinement"]
            for step in range(steps):
                decoded = self.decoder(codes)
                error = (decoded - images).square().sum()  # a sum: no image's step depends on the others
                if teacher is not None and answers is not None and step >= steps - math.ceil(_TAUGHT * steps):
                    error = error + weight * functional.cross_entropy(teacher(decoded), answers, reduction="sum")
                descent.step(*torch.autograd.grad(error, codes))
        return codes.detach()

    def decode(self, latents: Tensor) -> Tensor:
        return padded(self.decoder, latents)

    def discriminate(self, latents: Tensor) -> Tensor:
        """Probability that a point is a sample of the prior; 0.5 everywhere for codes that match the prior."""
        hidden = padded(self.discriminator[:-1], latents).double()
        last: Any = self.discriminator[-1]
        # One output is a product of matrix and vector, whose order of sums no padding fixes; double precision does.
        logits = (hidden * last.weight.double()).sum(dim=1) + last.bias.double()
        return _Sigmoid()(logits).float()

    def discriminator_logits(self, latents: Tensor) -> Tensor:
        """(N, k) -> (N,) logits, for the loss."""
        return self.discriminator(latents).squeeze(1)

    @checked
    def calibrate(
        self,
        validation_latents: Tensor,
        reference_latents: Tensor,
        quantile: Share = 0.05,
        mixture: Mixture | None = None,
    ) -> None:
        """Set the validity threshold to a quantile of ``discriminate`` on validation codes; keep reference codes.

        A fixed threshold of 0.5, as in the published code, rejects most real codes of a trained model.

        Args:
            validation_latents: (V, k) codes of images that were not trained on.
            reference_latents: (M, k) codes of a random sample of the training images.
            quantile: share of the validation codes that are not valid.
            mixture: of the codes, from :func:`~abele_py.models.mixture.fit_mixture`; kept too. None: it has none.
        """
        with torch.no_grad():
            answers = self.discriminate(validation_latents).double()
        self._validity_threshold = torch.quantile(answers, quantile)
        self._reference_latents = reference_latents.detach().float().clone()
        for name in (f.name for f in fields(Mixture)):
            part = getattr(mixture, name, None)
            setattr(self, f"_mixture_{name}", None if part is None else part.to(validation_latents.device).clone())
        self.config["n_references"] = len(reference_latents)
        self.config["n_components"] = 0 if mixture is None else len(mixture.weights)


def _teacher(shape: tuple[int, int, int], n_labels: int) -> nn.Module:
    """(N, C, H, W) -> (N, K) logits. A step of refinement asks it, so that it takes as long as a decoder."""
    c, h, w = shape
    return nn.Sequential(
        *(nn.Conv2d(c, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * ((h + 3) // 4) * ((w + 3) // 4), n_labels)),
    )


class _Sigmoid(nn.Module):
    """The logistic function, from tanh: torch's own computes the last elements of a tensor in another way."""

    def forward(self, x: Tensor) -> Tensor:
        return (0.5 * x).tanh_().mul(0.5).add_(0.5)  # in place: of many pixels each copy takes time


def _mlp_encoder(shape: tuple[int, int, int], k: int, hidden: Sequence[int]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), *linear_layers([math.prod(shape), *hidden], nn.ReLU), nn.Linear(hidden[-1], k))


def _mlp_decoder(shape: tuple[int, int, int], k: int, hidden: Sequence[int]) -> nn.Module:
    layers = linear_layers([k, *reversed(hidden)], nn.ReLU)
    return nn.Sequential(*layers, nn.Linear(hidden[0], math.prod(shape)), _Sigmoid(), nn.Unflatten(1, shape))


def _conv_sizes(shape: tuple[int, int, int], channels: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width before and after each stride-2 convolution."""
    sizes = [shape[1:]]
    for _ in channels:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def _conv_encoder(shape: tuple[int, int, int], k: int, hidden: int, channels: Sequence[int]) -> nn.Module:
    layers: list[nn.Module] = []
    for i, o in pairwise([shape[0], *channels]):
        layers += [nn.Conv2d(i, o, 3, stride=2, padding=1), nn.ReLU()]
    flat = math.prod((channels[-1], *_conv_sizes(shape, channels)[-1]))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, k))


def _conv_decoder(shape: tuple[int, int, int], k: int, hidden: int, channels: Sequence[int]) -> nn.Module:
    sizes = _conv_sizes(shape, channels)
    inner = (channels[-1], *sizes[-1])
    layers = [*linear_layers([k, hidden, math.prod(inner)], nn.ReLU), nn.Unflatten(1, inner)]
    outputs = [*reversed(channels[:-1]), shape[0]]
    for i, o, size in zip(reversed(channels), outputs, reversed(sizes[:-1]), strict=True):
        layers += [_Upsample(size), nn.Conv2d(i, o, 3, padding=1), nn.ReLU()]
    layers[-1] = _Sigmoid()
    return nn.Sequential(*layers)


class _Upsample(nn.Module):
    """Nearest-neighbour upsampling to a fixed size: no checkerboard, any odd size."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, size=self.size, mode="nearest")
