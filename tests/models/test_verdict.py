"""What networks reach: metrics with known answers and the verdict's words at its edges."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.manifests import classifier, manifest, reaching
from support.paths import ROOT
from support.worlds import Scores
from torch import nn

from abele_py.cli.train import tell_reached
from abele_py.datasets.records import ImageSet
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.checkpoints import read_manifest
from abele_py.models.verdict import verdict
from abele_py.training.finishing import in_batches, measure_autoencoder, measure_classifier
from benchmarks.models_table import reached, refresh, table, with_reached


def image_set(pixels, labels, names=("no", "yes")):
    images = torch.tensor(pixels, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    return ImageSet(images, torch.tensor(labels), names)


def test_auc_of_four_images_by_hand():
    """Of the four pairs, three are in order; two of the four images are above one half, one of them wrongly."""
    found = measure_classifier(Scores(), image_set([25, 150, 100, 200], [0, 0, 1, 1]))
    assert found == pytest.approx({"accuracy": 0.5, "auc": 0.75})
    assert list(found) == ["accuracy", "auc"]


@pytest.mark.parametrize(
    ("labels", "names"),
    [([1, 1, 1, 1], ("no", "yes")), ([0, 0, 1, 1], ("a", "b", "c")), ([0, 1, 1, 2], ("a", "b", "c"))],
)
def test_auc_is_left_out_where_there_is_none(labels, names):
    assert list(measure_classifier(Scores(), image_set([25, 150, 100, 200], labels, names))) == ["accuracy"]


class Mean(nn.Module):
    """An autoencoder that draws one image, whatever it is given; its discriminator has learned nothing."""

    validity_threshold = 0.5

    def encode(self, images):
        return torch.randn(len(images), 2, generator=torch.Generator().manual_seed(0))

    def decode(self, latents):
        return torch.full((len(latents), 1, 4, 4), 0.1)

    def discriminate(self, latents):
        return torch.full((len(latents),), 0.5)


def test_a_constant_decoder_of_a_data_set_with_a_frequent_class_is_not_good():
    images = image_set([20] * 95 + [230] * 5, [0] * 95 + [1] * 5)
    measured = measure_autoencoder(Mean(), images, in_batches(Mean().encode, images.images), Scores())
    assert list(measured)[:2] == ["label_preservation", "label_preservation_balanced"]
    assert measured["label_preservation"] == pytest.approx(0.95)
    assert measured["label_preservation_balanced"] == pytest.approx(0.5)
    rounded = {name: round(value, 6) for name, value in measured.items()}  # as in a manifest: means are of float32
    text = "\n".join(verdict(manifest(metrics=rounded, test_counts=[95, 5])))
    assert "95 (50 with each label counted alike) keep" in text
    assert "not good enough" in text
    assert "Labels that few images get are lost more often" in text


def test_without_a_judge_there_are_no_metrics_of_labels():
    images = image_set([20, 230], [0, 1])
    measured = measure_autoencoder(Mean(), images, in_batches(Mean().encode, images.images), None)
    assert next(iter(measured)) == "rmse_255"


# The verdict


@pytest.mark.parametrize(
    ("alike", "grade"),
    [(0.98, ": good enough"), (0.9499, ": usable with care"), (0.85, ": usable with care"), (0.8499, ": not good")],
)
def test_the_lower_grade_of_all_images_and_of_all_labels_holds(alike, grade):
    text = "\n".join(verdict(reaching(label_preservation_balanced=alike)))
    assert grade in text
    assert ("Labels that few images get" in text) == (alike < 0.95)
    assert ("--trainer.max_epochs" in text) == (alike < 0.95)
    assert "usable" in "\n".join(verdict(reaching(label_preservation=0.9, label_preservation_balanced=0.99)))


@pytest.mark.parametrize(
    ("share", "words", "advised"),
    [
        (0.95, "95 keep the label that the black box gives them when they are encoded and decoded: good enough", False),
        (0.9499, "94.9 keep", True),
        (0.94999, "94.9 keep", True),
        (0.0004, "0.1 keep", True),
        (0.0, "images, 0 keep", True),
        (0.9499, "usable with care", True),
        (0.85, "85 keep the label .* usable with care", True),
        (0.849, "84.9 keep the label .* not good enough", True),
        (1.0, "100 keep", False),
        (0.9999, "99.9 keep", False),
    ],
)
def test_label_preservation_in_words(share, words, advised):
    text = "\n".join(verdict(reaching(label_preservation=share)))
    assert re.search(words, text)
    assert ("--trainer.max_epochs, here 7" in text and "--model.latent_dim, here 5" in text) == advised


def test_an_autoencoder_without_a_judge_is_not_called_good():
    metrics = {name: value for name, value in manifest().metrics.items() if name != "label_preservation"}
    text = "\n".join(verdict(manifest(metrics=metrics)))
    assert "not known" in text
    assert "--black-box" in text
    assert "good enough" not in text


@pytest.mark.parametrize(
    ("codes", "prior", "words"),
    [
        (0.5, 0.5, "hardly tells codes from the prior"),
        (0.4, 0.6, "hardly tells codes from the prior"),
        (0.6, 0.6, "hardly tells codes from the prior"),
        (0.45, 0.65, "hardly tells codes from the prior"),
        (0.55, 0.35, "hardly tells codes from the prior"),
        (0.3994, 0.5, "raise --model.adversarial_weight (here 0.002)"),
        (0.39, 0.5, "raise --model.adversarial_weight (here 0.002)"),
        (0.5, 0.701, "raise --model.adversarial_weight (here 0.002)"),
        (0.4, 0.9, "raise --model.adversarial_weight (here 0.002)"),
        (0.61, 0.61, "lower --model.adversarial_weight (here 0.002)"),
        (0.55, 0.3, "lower --model.adversarial_weight (here 0.002)"),
    ],
)
def test_balance_in_words(codes, prior, words):
    text = "\n".join(verdict(reaching(discriminator_codes=codes, discriminator_prior=prior)))
    assert words in text
    assert f"{codes:.3f} on test codes and {prior:.3f} on samples of the prior" in text


def test_a_discriminator_that_learned_nothing_is_no_proof():
    """It answers 0.5 whatever the codes are."""
    text = "\n".join(verdict(reaching(discriminator_codes=0.5, discriminator_prior=0.5, kurtosis=3.14159)))
    assert "learned nothing would answer so too" in text
    assert "here 3.14, and 1 for a normal distribution" in text
    assert "match" not in text


def test_few_images_are_told_with_an_interval():
    """Wilson's interval of 45 of 45, by hand: n / (n + 1.96^2) = 0.921 to 1."""
    few = replace(reaching(label_preservation=1.0), test_counts=[20, 25])
    assert "Measured on only 45 test images: 92.1 to 100 of 100 at 95 % confidence; more" in "\n".join(verdict(few))
    assert "Measured on 10,000 test images: 97.7 to 98.3 of 100 at 95 % confidence." in verdict(manifest())


def test_an_older_manifest_has_a_verdict_without_intervals():
    sentences = verdict(manifest(test_counts=[]))
    assert not any("Measured" in sentence for sentence in sentences)
    assert any("good enough" in sentence for sentence in sentences)


def test_a_classifier_beside_the_constant_answer():
    good = "\n".join(verdict(classifier([400, 600], accuracy=0.9)))
    assert "labels 90 correctly; always answering 'dog', the most frequent class, would be right for 60" in good
    assert "not clearly better" not in good
    assert "Measured on 1,000" in good
    few = "\n".join(verdict(classifier([10, 30], accuracy=0.8)))
    assert "not clearly better than the constant answer" in few
    assert "--trainer.max_epochs, here 7" in few
    assert "only 40 test images" in few


def test_auc_in_words():
    text = "\n".join(verdict(classifier([400, 600], accuracy=0.9, auc=0.75)))
    assert "the 'dog' gets the higher score for 'dog' in 75" in text


def test_a_classifier_of_an_older_manifest():
    assert verdict(classifier([], accuracy=0.9))[0] == "Of 100 test images, the classifier labels 90 correctly."


def test_a_verdict_needs_no_options():
    bare = replace(reaching(label_preservation=0.5, discriminator_codes=0.1), recipe={"name": "x", "options": {}})
    assert "here ?" in "\n".join(verdict(bare))


def test_the_first_line_of_a_recipe_is_replaced_and_nothing_else():
    found = manifest()
    assert reached(found).startswith("# Digits")
    assert "Label preservation 0.9800, RMSE (of 255) 20.00. 1.5 min on: a machine." in reached(found)
    assert with_reached("# old\n# kept\nname: x\n", found) == f"{reached(found)}\n# kept\nname: x\n"
    assert with_reached("name: x\n", found) == f"{reached(found)}\nname: x\n"


def test_training_ends_with_the_verdict():
    lines = []
    tell_reached(ROOT / "checkpoints" / "digits", lines.append)
    assert lines == [f"checkpoint: {ROOT / 'checkpoints' / 'digits'}", *verdict(read_manifest("digits"))]


def test_the_command_of_the_table_mends_page_and_recipes(tmp_path):
    folder = Path(shutil.copytree(ROOT / "training", tmp_path / "training"))
    fresh = {path.name: path.read_text() for path in folder.iterdir()}
    page, recipe = folder / "README.md", folder / "mnist-cnn.yaml"
    page.write_text(re.sub(r"\| mnist \|.*", "| stale |", page.read_text()))
    recipe.write_text(re.sub(r"\A#.*", "# stale", recipe.read_text()))
    assert {path.name for path in folder.iterdir() if path.read_text() != fresh[path.name]} == {page.name, recipe.name}
    refresh(page)
    assert {path.name: path.read_text() for path in folder.iterdir()} == fresh


def test_a_checkpoint_without_a_metric_does_not_change_the_order_of_the_columns(monkeypatch):
    monkeypatch.setattr("benchmarks.models_table.find_checkpoint", lambda _: ROOT / "checkpoints" / "digits")
    head = table([manifest(), reaching(label_preservation_balanced=0.9)]).splitlines()[2]
    assert re.search(r"Label preservation \| Label preservation, each label alike \| RMSE .* on the prior", head)


SIZES = {"8": 0.5, "16": 0.82, "32": 0.94, "64": 0.97, "128": 0.96}


@pytest.mark.parametrize(
    ("k", "kept", "advice"),
    [
        (
            16,
            0.83,
            "train with more latent coordinates, --model.latent_dim 64 (here 16; for training/folder.yaml "
            "--autoencoder.model.latent_dim 64). As many principal components alone "
            "keep 97 of 100",
        ),
        (64, 0.90, "train with more images"),
        (32, 0.93, "train with more latent coordinates, --model.latent_dim 64 (here 32;"),
    ],
)
def test_what_would_keep_more_labels_is_told_with_what_it_was_measured_to_bring(k, kept, advice):
    metrics = {"label_preservation": kept, "label_preservation_balanced": kept}
    found = replace(reaching(**metrics), latent_sizes=SIZES)
    text = " ".join(verdict(replace(found, config=found.config | {"latent_dim": k})))
    assert f"To keep more: {advice}" in text


def test_nothing_is_advised_where_enough_labels_are_kept():
    assert "To keep more" not in " ".join(verdict(replace(reaching(label_preservation=0.96), latent_sizes=SIZES)))


def test_labels_of_a_black_box_that_knows_one_label_only_are_no_evidence():
    """All are kept, whatever is drawn."""

    class Always(nn.Module):
        def forward(self, images):
            return torch.tensor([[0.1, 0.9]]).expand(len(images), 2)

    torch.manual_seed(0)
    network = AdversarialAutoencoder((1, 4, 4), 2, hidden=(4,)).eval()
    network.calibrate(torch.randn(20, 2), torch.randn(20, 2))
    images = image_set([10, 90, 170, 250], [0, 0, 1, 1])
    codes = in_batches(network.encode, images.images)
    found = measure_autoencoder(network, images, codes, Always())
    assert next(iter(found)) == "rmse_255"
    assert "label_preservation" not in found
    assert next(iter(measure_autoencoder(network, images, codes, Scores()))) == "label_preservation"
