"""Training with Lightning: one module per kind of network, and pictures of the progress.

Every module holds its plain network as ``network``; files of finished networks are the business of ``checkpoints.py``.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ..checking.parameters import Count, NotEmpty, NotNegative, Shape, Share, Size, between, checked
from ..errors import ParameterError
from ..models.adversarial import AdversarialAutoencoder
from ..models.checkpoints import load_classifier
from ..models.classifiers import ConvolutionalClassifier, Forest
from ..models.principal import principal_components
from .augmentation import blur, crop, jitter
from .data_module import Batch
from .losses import LatentLabels, edge_loss, mmd_loss
from .teacher import teach


class AutoencoderModule(pl.LightningModule):
    """Adversarial autoencoder: in each step, encoder and decoder minimise one loss and the discriminator another.

    The encoder and decoder minimise the mean squared error of the pixels, plus ``edge_weight`` times that of the
    differences between neighboring pixels (after Mathieu et al. 2016, arXiv 1511.05440, section 3.2, with squares),
    plus ``adversarial_weight`` times the non-saturating loss -log D(E(x)); the discriminator separates samples of the
    prior from codes (Makhzani et al. 2015, arXiv 1511.05644). The encoder is deterministic; the losses take logits.
    Each loss reaches its own part only, so that one backward pass and one optimiser serve both, on any number of
    devices.

    Args:
        image_shape: (C, H, W); given by the data set.
        n_classes: K; given by the data set, used with a ``label_weight`` only.
        latent_dim: k. ``"auto"``: ``abele train`` chooses it, see ``latent_size``; nothing else knows the word.
        architecture: ``"mlp"``, ``"conv"``, ``"conv-mlp"`` or ``"pca"``, which starts from principal components of the
            training images.
        hidden: widths of the hidden layers, see ``AdversarialAutoencoder``.
        channels: channels of the convolutions, of the convolutional parts.
        discriminator_hidden: widths of the discriminator.
        adversarial_weight: larger brings the codes closer to the prior and costs reconstruction.
        edge_weight: of the differences between neighboring pixels, see ``edge_loss``: larger keeps edges and small
            parts, which decide more labels than areas do. It enlarges that loss: raise ``adversarial_weight`` with it.
        mmd_weight: of the maximum mean discrepancy between codes and prior, a second pull towards the prior, see
            ``mmd_loss``; 0 leaves it out.
        label_weight: of the cross entropy of a linear classifier of the codes, which learns beside the autoencoder
            from the labels of the training images and is thrown away (a supervised autoencoder: Le, Patterson, White
            2018, NeurIPS). It brings images of one class closer together, so that a small tree can say more; it costs
            balance: raise ``adversarial_weight`` with it. With 0 the autoencoder sees no labels.
        consistency_weight: of the demand that images decoded between the codes have the labels that this classifier
            gives to the points there, see ``LatentLabels.consistency``: what a black box predicts becomes simpler to
            describe around an image. Needs a ``label_weight``, and costs reconstruction and twice the time.
        refinement: steps by which the trained network improves each code, see ``AdversarialAutoencoder``.
        teacher_weight: of a small classifier in this refinement, which is trained before the autoencoder on the labels
            of the training images, see ``teach``: larger keeps more labels and costs a little of the pixels. Encoder
            and decoder are those that they are without it. 0: there is none.
        n_features: of ``"pca"``: principal components that the encoder is given, of as many as there are.
        restoration: of ``"pca"``: channels of convolutions that learn, after the training, what principal components
            draw wrongly, see ``training.restoration``; 0: none.
        learning_rate: highest rate of encoder and decoder; rises over the first 5 % of the training, falls as a cosine.
        discriminator_learning_rate: of the discriminator; falls too, or it would win once the encoder stands still.
        shift, rotation, scale: as in ``jitter``, for small data sets.
    """

    kind: Literal["autoencoder"] = "autoencoder"

    @checked
    def __init__(
        self,
        image_shape: Shape = (1, 28, 28),
        n_classes: Size = 10,
        latent_dim: Size | Literal["auto"] = 12,
        architecture: Literal["mlp", "conv", "conv-mlp", "pca"] = "mlp",
        hidden: Annotated[Sequence[Size], NotEmpty()] = (512, 512),
        channels: Sequence[Size] = (32, 64),
        discriminator_hidden: Annotated[Sequence[Size], NotEmpty()] = (256, 256),
        adversarial_weight: NotNegative = 0.002,
        edge_weight: NotNegative = 0.0,
        mmd_weight: NotNegative = 0.0,
        label_weight: NotNegative = 0.0,
        consistency_weight: NotNegative = 0.0,
        refinement: Annotated[int, between(0, 10**4)] = 10,
        teacher_weight: NotNegative = 0.0,
        learning_rate: NotNegative = 2e-3,
        discriminator_learning_rate: NotNegative = 5e-4,
        shift: Share = 0.0,
        rotation: Annotated[float, between(0, 360)] = 0.0,
        scale: Share = 0.0,
        n_features: Size = 384,
        restoration: Annotated[int, between(0, 2**10)] = 0,
    ) -> None:
        super().__init__()
        if isinstance(latent_dim, str):
            raise ParameterError("got latent_dim='auto'; expected a whole number; choose one, or call abele train")
        given = max(latent_dim, min(n_features, math.prod(image_shape))) if architecture == "pca" else 0
        self.network = AdversarialAutoencoder(
            image_shape, latent_dim, architecture, hidden, channels, discriminator_hidden, refinement=refinement,
            n_features=given, n_labels=n_classes if teacher_weight and refinement else 0, teacher_weight=teacher_weight,
        )  # fmt: skip
        if consistency_weight and not label_weight:
            raise ParameterError(
                f"got consistency_weight={consistency_weight} and label_weight=0; expected both: images are made "
                "consistent with a classifier that learns from labels; set label_weight, 0.03 for instance"
            )
        self.labels = (
            LatentLabels(image_shape, latent_dim, n_classes, bool(consistency_weight)) if label_weight else None
        )
        self.adversarial_weight, self.edge_weight, self.mmd_weight = adversarial_weight, edge_weight, mmd_weight
        self.label_weight, self.consistency_weight = label_weight, consistency_weight
        self.learning_rate = learning_rate
        self.discriminator_learning_rate = discriminator_learning_rate
        self.jitter = (shift, rotation, scale)
        self.restoration = restoration

    def setup(self, stage: str) -> None:
        """Principal components of the training images, and the teacher, unless a state is going to be restored."""
        if stage != "fit" or self.trainer.ckpt_path is not None:
            return
        config, data = self.network.config, self.trainer.datamodule  # type: ignore[attr-defined]
        images = data.splits["train"]
        if config["architecture"] == "pca":
            self.network.start_from(principal_components(images.images, config["n_features"], data.seed))
        if self.network.teacher is not None:
            teach(self.network.teacher, images, data.seed)

    def autoencoder_loss(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss of encoder and decoder, the error in it, codes, decoded images; the discriminator gets no gradient."""
        latents = self.network.encoder(images)
        decoded = self.network.decoder(latents)
        error = functional.mse_loss(decoded, images)
        loss = error + self.edge_weight * edge_loss(decoded, images) if self.edge_weight else error
        discriminator = self.network.discriminator
        fixed = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        adversarial = functional.softplus(-torch.func.functional_call(discriminator, fixed, latents)).mean()
        return loss + self.adversarial_weight * adversarial, error, latents, decoded

    def discriminator_loss(self, latents: Tensor) -> Tensor:
        """Loss of the discriminator on codes and as many samples of the prior; the encoder gets no gradient."""
        prior = torch.randn_like(latents)
        on_codes = functional.softplus(self.network.discriminator_logits(latents.detach())).mean()
        return on_codes + functional.softplus(-self.network.discriminator_logits(prior)).mean()

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Of one step: the loss that is minimised, and in it the error of the pixels and the discriminator's loss.

        Args:
            batch: images (N, C, H, W) in [0, 1], labels (N,).
        """
        images = jitter(batch[0], *self.jitter) if any(self.jitter) else batch[0]
        loss, error, latents, decoded = self.autoencoder_loss(images)
        if self.mmd_weight:
            loss = loss + self.mmd_weight * mmd_loss(latents, torch.randn_like(latents))
        if self.labels is not None:
            loss = loss + self.label_weight * self.labels.classification(latents, batch[1])
            if self.consistency_weight:
                parts = self.labels.consistency(self.network.decoder, latents, images, decoded, batch[1])
                loss = loss + self.consistency_weight * parts[0] + parts[1]
        discriminator_loss = self.discriminator_loss(latents)
        return loss + discriminator_loss, error, discriminator_loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss, error, discriminator_loss = self.losses(batch)
        if _is_logged(self.trainer):
            self.log("train/rmse_255", 255 * error.detach().sqrt(), prog_bar=True)
            self.log("train/discriminator_loss", discriminator_loss.detach(), prog_bar=True)
        return loss

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        """Figures of images that are not trained on: errors of the pixels, the discriminator on codes and prior."""
        images, _ = batch
        latents = self.network.encoder(images)  # without refinement: a hundred times faster, and as good for choosing
        error = functional.mse_loss(self.network.decode(latents), images)
        return {
            "mse": error,
            "rmse_255": 255 * error.sqrt(),
            "discriminator_codes": self.network.discriminate(latents).mean(),
            "discriminator_prior": self.network.discriminate(torch.randn_like(latents)).mean(),
        }

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        for name, figure in self.validation_figures(batch).items():
            self.log(f"val/{name}", figure, prog_bar=name != "discriminator_prior", sync_dist=True)

    def optimizer(self, steps: float) -> tuple[Optimizer, LambdaLR]:
        """Optimiser and schedule of a training of this many steps."""
        network = self.network
        labels = [] if self.labels is None else self.labels.parameters()
        parts = [
            {
                "params": [*network.encoder.parameters(), *network.decoder.parameters(), *labels],
                "lr": self.learning_rate,
            },
            # momentum 0.5, as usual for discriminators: their target moves
            {
                "params": network.discriminator.parameters(),
                "lr": self.discriminator_learning_rate,
                "betas": (0.5, 0.999),
            },
        ]
        return _scheduled(Adam(parts, fused=True), steps)  # one pass over the weights: a tenth of the time

    def configure_optimizers(self) -> Any:
        return _for_lightning(*self.optimizer(self.trainer.estimated_stepping_batches))


class ClassifierModule(pl.LightningModule):
    """A small convolutional classifier; cross entropy on logits.

    Args:
        image_shape: (C, H, W); given by the data set.
        n_classes: K; given by the data set.
        channels: of the convolutions, see ``ConvolutionalClassifier``.
        hidden: width of the hidden layer.
        dropout: before each linear layer.
        learning_rate: highest rate; rises over the first 5 % of the training, falls as a cosine.
        weight_decay: of AdamW.
        shift, rotation, scale, flip: of the training images, as in ``jitter``.
        convolutions: of each stage, see ``ConvolutionalClassifier``.
        start: checkpoint (name or folder) of the same sizes, whose weights the training starts from; None: random ones.
        blur: largest share of a blurred copy in a training image, as in ``blur``.
        crop: each training image moves by at most this many whole pixels, as in ``crop``; stays as sharp as it is.
        label_smoothing: share of each label that is spread evenly over all classes.
    """

    kind: Literal["classifier"] = "classifier"

    @checked
    def __init__(
        self,
        image_shape: Shape = (1, 28, 28),
        n_classes: Size = 10,
        channels: Annotated[Sequence[Size], NotEmpty()] = (16, 32),
        hidden: Size = 128,
        dropout: Share = 0.25,
        learning_rate: NotNegative = 3e-3,
        weight_decay: NotNegative = 1e-4,
        shift: Share = 0.07,
        rotation: Annotated[float, between(0, 360)] = 10.0,
        scale: Share = 0.1,
        flip: bool = False,
        convolutions: Annotated[int, between(1, 100)] = 1,
        start: str | None = None,
        blur: Share = 0.0,
        crop: Annotated[int, between(0, 2**16)] = 0,
        label_smoothing: Share = 0.0,
    ) -> None:
        super().__init__()
        self.network = ConvolutionalClassifier(image_shape, n_classes, channels, hidden, dropout, convolutions)
        if start is not None:
            self.network.load_state_dict(_weights_of(start, self.network))
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.jitter, self.blur, self.crop = (shift, rotation, scale, flip), blur, crop
        self.label_smoothing = label_smoothing

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels = batch
        images = jitter(images, *self.jitter)
        if self.crop:
            images = crop(images, self.crop)
        if self.blur:
            images = blur(images, self.blur)
        loss = functional.cross_entropy(self.network.logits(images), labels, label_smoothing=self.label_smoothing)
        if _is_logged(self.trainer):
            self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        logits = self.network.logits(images)
        self.log("val/loss", functional.cross_entropy(logits, labels), prog_bar=True, sync_dist=True)
        self.log("val/accuracy", (logits.argmax(dim=1) == labels).float().mean(), prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimizer = AdamW(self.network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        return _for_lightning(*_scheduled(optimizer, self.trainer.estimated_stepping_batches))


class ForestModule(pl.LightningModule):
    """A random forest: gathers the batches of one epoch, fits at its end, and becomes a ``Forest`` of arrays.

    Args:
        image_shape: (C, H, W); given by the data set.
        n_classes: K; given by the data set.
        n_trees: number of trees.
        max_depth: of each tree; None grows until the leaves are pure.
        min_samples_leaf: images in a leaf, at least.
        n_jobs: processor cores used for fitting.
    """

    kind: Literal["classifier"] = "classifier"

    @checked
    def __init__(
        self,
        image_shape: Shape = (1, 28, 28),
        n_classes: Size = 10,
        n_trees: Annotated[int, between(1, 10**5)] = 100,
        max_depth: Count | None = None,
        min_samples_leaf: Count = 1,
        n_jobs: Annotated[int, between(-1, 2**16)] = 1,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # nothing here has a gradient
        self.image_shape = image_shape
        self.forest = RandomForestClassifier(
            n_trees, max_depth=max_depth, min_samples_leaf=min_samples_leaf, n_jobs=n_jobs
        )
        self.network = Forest(image_shape, n_classes, n_trees, n_trees)
        self.gathered: list[Batch] = []

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.gathered.append(batch)
        if self.trainer.is_last_batch:
            images, labels = (torch.cat(column).cpu() for column in zip(*self.gathered, strict=True))
            self.forest.set_params(random_state=int(torch.randint(2**31, ())))  # torch has the training's seed
            self.forest.fit(images.flatten(1).numpy(), labels.numpy())
            self.network = Forest.from_sklearn(self.forest, self.image_shape).to(self.device)
            self.gathered.clear()
            self.optimizers().step()  # type: ignore[union-attr]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        self.log(
            "val/accuracy", (self.network(images).argmax(dim=1) == labels).float().mean(), prog_bar=True, sync_dist=True
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        n_nodes = len(checkpoint["state_dict"]["network.axis"])  # a grown forest has more than the empty one
        self.network = Forest(**{**self.network.config, "n_nodes": n_nodes})

    def configure_optimizers(self) -> Optimizer:
        """Changes nothing and is there to be counted: states are written when a step was taken, and a fit is one."""
        return SGD([torch.zeros(1, requires_grad=True)], lr=0.0)


def _weights_of(start: str, network: nn.Module) -> dict[str, Tensor]:
    weights, wanted = load_classifier(start).state_dict(), network.state_dict()
    if {name: w.shape for name, w in weights.items()} != {name: w.shape for name, w in wanted.items()}:
        raise ParameterError(
            f"got start={start!r}, a network of other sizes; expected those of the recipe; pass another checkpoint, or "
            "change channels, hidden and convolutions"
        )
    return weights


def _is_logged(trainer: pl.Trainer) -> bool:
    """Whether figures of this step are kept; handing each one of every step to Lightning costs a tenth of the time."""
    every = trainer.log_every_n_steps or math.inf  # type: ignore[attr-defined]  # 0: never
    return (trainer.global_step + 1) % every == 0 or trainer.is_last_batch


def _scheduled(optimizer: Optimizer, steps: float) -> tuple[Optimizer, LambdaLR]:
    """A rise over the first 5 % of the steps, then half a cosine down to 1 % of the rate."""
    total = min(1e6, float(steps))  # infinite for a training without an end
    warm = max(1.0, 0.05 * total)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, total - warm))))

    return optimizer, LambdaLR(optimizer, factor)


def _for_lightning(optimizer: Optimizer, schedule: LambdaLR) -> dict[str, Any]:
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
