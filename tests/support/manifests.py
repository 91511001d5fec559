"""Manifests of checkpoints that do not exist."""

from dataclasses import replace

from abele_py.models.checkpoints import Manifest


def manifest(**fields):
    """Of an autoencoder that is good in every respect, and whatever shall be different."""
    good = Manifest(
        name="mine",
        kind="autoencoder",
        architecture="AdversarialAutoencoder",
        config={"image_shape": [1, 8, 8], "latent_dim": 5, "architecture": "mlp", "hidden": [16], "n_references": 9},
        data_set="digits",
        split="train",
        preprocessing="pixels / 255",
        class_names=["cat", "dog"],
        recipe={
            "name": "digits-autoencoder",
            "options": {
                "trainer": {"max_epochs": 7},
                "model": {"init_args": {"adversarial_weight": 0.002}},
            },
        },
        seed=0,
        versions={"torch": "2"},
        hardware="a machine",
        training_seconds=90.0,
        metrics={
            "label_preservation": 0.98,
            "rmse_255": 20.0,
            "discriminator_codes": 0.5,
            "discriminator_prior": 0.5,
        },
        licence="none",
        test_counts=[4000, 6000],
    )
    return replace(good, **fields)


def reaching(**metrics):
    good = manifest()
    return replace(good, metrics=good.metrics | metrics)


def classifier(counts, **metrics):
    config = {"image_shape": [1, 8, 8], "n_classes": 2, "channels": [4], "hidden": 8}
    return manifest(
        kind="classifier", architecture="ConvolutionalClassifier", config=config, metrics=metrics, test_counts=counts
    )
