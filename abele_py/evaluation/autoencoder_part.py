"""What is measured of the autoencoder, on a whole split at once."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from ..datasets.records import to_unit
from ..metrics import autoencoder as of_autoencoder
from .subject import Row, Subject


@dataclass(frozen=True)
class AutoencoderPart:
    """Reconstruction, labels kept, and codes against the prior, on the whole split at once."""

    subject: Subject

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        return cls(subject)

    def measure(self, index: int) -> list[Row]:
        s, images = self.subject, to_unit(self.subject.test.images)
        latents = torch.cat([s.space.encode(batch) for batch in images.split(1000)])
        again = torch.cat([s.space.decode(batch) for batch in latents.split(1000)])
        prior = torch.randn(latents.shape, generator=s.generator(-1, "prior"))
        on_codes, on_prior = s.space.realism(latents), s.space.realism(prior)
        metrics = {
            "rmse": of_autoencoder.rmse(images, again),
            "label_preservation": of_autoencoder.label_preservation(s.test_labels, s.black_box(again).labels),
            "discriminator_codes": of_autoencoder.discriminator_mean(on_codes),
            "discriminator_prior": of_autoencoder.discriminator_mean(on_prior),
            "discriminator_gap": of_autoencoder.discriminator_balance(on_codes, on_prior),
            "valid_codes": of_autoencoder.valid_share(on_codes, s.space.validity_threshold),
            "mardia_kurtosis": of_autoencoder.mardia_kurtosis(latents),
            "mardia_skewness": of_autoencoder.mardia_skewness(latents),
            "ks_mean": of_autoencoder.ks_mean(latents),
            "ks_max": of_autoencoder.ks_max(latents),
            "mmd": of_autoencoder.mmd(latents, prior),
        }
        order = torch.randperm(len(s.train), generator=s.generator(-1, "real"))[: len(images)]
        made = {"prior": s.space.decode(prior), "reconstructions": again, "real": to_unit(s.train.images[order])}
        if s.oracle is not None and _ends_in_a_linear_layer(s.oracle.classifier):
            metrics |= {f"fid_{what}": of_autoencoder.fid(images, x, s.oracle.classifier) for what, x in made.items()}
        return [Row("autoencoder", None, metrics)]


def _ends_in_a_linear_layer(classifier: object) -> bool:
    """Can FID take its features from this classifier?"""
    return isinstance(classifier, nn.Module) and any(isinstance(m, nn.Linear) for m in classifier.modules())
