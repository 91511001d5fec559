"""What a checkpoint reaches on unseen images, and whether that is good enough to explain with: a verdict in words."""

import math
from collections.abc import Callable

from scipy.stats import binomtest

from .checkpoints import Manifest

# Of 100 test images, how many keep their label: from here on good, and from here on usable with care. See `verdict`.
GOOD, USABLE = 0.95, 0.85
BALANCED = (0.4, 0.6)  # mean answer of the discriminator on test codes; 0.5 where it cannot tell them from the prior
GAP = 0.2  # its mean answer on the prior less that on codes: what both ends of BALANCED leave between them


def verdict(manifest: Manifest) -> list[str]:
    """What was reached, and whether it is good enough to explain with: one sentence for each thing, in plain words.

    An explanation looks at decoded images in place of the image itself. Where the image's own reconstruction gets
    another label, the decoded neighbors surround another decision, and the explanation may speak of that one; every
    explanation says so of its own image. How often this happens is one minus the label preservation. It is called good
    up to 5 images in 100 (the customary 5 %), and usable with care up to 15: few enough to look at that note, and
    leave those images out. Beyond, too many explanations fall away, and those left are of easy images only. Shares are
    rounded down in print, so that none looks like the threshold that it misses.

    Where most images get one label, a decoder that draws nothing else keeps most labels. So the mean over labels, each
    counted alike, must reach the same thresholds: the lower of the two grades holds.

    The discriminator says whether codes look like samples of the prior, from which images are generated. It hardly
    tells them apart where its mean answer on test codes is 0.40 to 0.60 (on average at most 0.1 from knowing nothing)
    and that on samples of the prior at most 0.2 away. Codes like the prior look so, but also a discriminator that has
    learned nothing; the kurtosis of the codes, which needs no discriminator, is told beside it.

    Intervals are Wilson's for a share, 95 % (Wilson 1927, JASA 22); they are told where the manifest holds the number
    of test images, and with the word "only" where they leave open which verdict holds, or span more than 5 in 100.
    """
    return _on_autoencoder(manifest) if manifest.kind == "autoencoder" else _on_classifier(manifest)


def _on_autoencoder(manifest: Manifest) -> list[str]:
    m = manifest.metrics
    sentences = []
    if "label_preservation" in m:
        share = m["label_preservation"]
        alike = m.get("label_preservation_balanced", share)  # checkpoints of abele_py 0.1.0 do not have it
        low, high = _interval(share, manifest)
        grade = min(_grade(share), _grade(alike))
        told = f" ({_of_100(alike)} with each label counted alike)" if "label_preservation_balanced" in m else ""
        sentences.append(
            f"Of 100 test images, {_of_100(share)}{told} keep the label that the black box gives them when they are "
            f"encoded and decoded: {_GRADES[grade]}."
        )
        if _grade(alike) < _grade(share):
            sentences.append(
                "Labels that few images get are lost more often than the others: train with more images of them, and "
                "take care with explanations of them."
            )
        if grade < 2:
            sentences.append(_to_keep_more(manifest, alike))
        sentences += _uncertainty(share, manifest, unclear=_grade(low) != _grade(high))
    else:
        sentences.append(
            "Whether labels survive encoding and decoding is not known, because no classifier judged it, or one that "
            "gives all test images the same label: before explaining with this autoencoder, train it with --black-box "
            "CLASSIFIER."
        )
    return [*sentences, _on_discriminator(manifest)]


def _to_keep_more(manifest: Manifest, kept: float) -> str:
    """What to change, and what it is expected to bring, where that was measured."""
    k, epochs = manifest.config.get("latent_dim"), option_of(manifest)("trainer", "max_epochs")
    sizes = {int(size): share for size, share in manifest.latent_sizes.items()}
    more = [size for size in sizes if isinstance(k, int) and size > k and sizes[size] > max(kept, sizes.get(k, 0.0))]
    if more:
        best = max(more, key=lambda size: (sizes[size], -size))
        return (
            f"To keep more: train with more latent coordinates, --model.latent_dim {best} (here {k}; for "
            f"training/folder.yaml --autoencoder.model.latent_dim {best}). As many principal components alone keep "
            f"{_of_100(sizes[best])} of 100 labels of val, each label counted alike."
        )
    if sizes:
        return (
            "To keep more: train with more images. More latent coordinates than these were not found to keep more "
            f"labels, and more epochs (--trainer.max_epochs, here {epochs}) add little to principal components."
        )
    return (
        f"To keep more: train for more epochs (--trainer.max_epochs, here {epochs}), with more latent coordinates "
        f"(--model.latent_dim, here {k}), or with more images."
    )


def _on_discriminator(manifest: Manifest) -> str:
    m, weight = manifest.metrics, option_of(manifest)("model", "init_args", "adversarial_weight")
    codes, prior = (round(m[f"discriminator_{on}"], 3) for on in ("codes", "prior"))  # judged as they are printed
    gap = round(prior - codes, 3)  # 0.55 - 0.35 is a little more than 0.2
    answers = f"its mean answer is {codes:.3f} on test codes and {prior:.3f} on samples of the prior"
    if codes > BALANCED[1] or gap < -GAP:
        return (
            f"The discriminator has not kept up with the encoder: {answers}, so that it takes codes for samples of the "
            f"prior more often than it should, and says little about what is realistic; lower "
            f"--model.adversarial_weight (here {weight}) or raise --model.discriminator_learning_rate."
        )
    if codes < BALANCED[0] or gap > GAP:
        return (
            f"The discriminator tells codes from the prior: {answers} (0.500: cannot tell), so that images generated "
            f"from the prior may look unlike real ones; raise --model.adversarial_weight (here {weight}), at some cost "
            "of reconstruction."
        )
    kurtosis = f" (here {m['kurtosis']:.2f}, and 1 for a normal distribution)" if "kurtosis" in m else ""
    return (
        f"The discriminator hardly tells codes from the prior: {answers}; {BALANCED[0]:.2f} to {BALANCED[1]:.2f} on "
        f"codes, and at most {GAP:.2f} between the two, is good. One that has learned nothing would answer so too: the "
        f"kurtosis of the codes does not depend on it{kurtosis}."
    )


def _on_classifier(manifest: Manifest) -> list[str]:
    accuracy, names = manifest.metrics["accuracy"], manifest.class_names
    low, _ = _interval(accuracy, manifest)
    largest = max(manifest.test_counts, default=0) / max(1, sum(manifest.test_counts))
    sentence = f"Of 100 test images, the classifier labels {_of_100(accuracy)} correctly"
    if not manifest.test_counts:
        sentences = [f"{sentence}."]
    else:
        name = names[manifest.test_counts.index(max(manifest.test_counts))]
        sentences = [f"{sentence}; always answering {name!r}, the most frequent class, would be right for "
                     f"{_of_100(largest)}."]  # fmt: skip
    if manifest.test_counts and low <= largest:
        sentences.append(
            "That is not clearly better than the constant answer: there may be nothing in it to explain. Check the "
            f"labels, and train with more images or for more epochs (--trainer.max_epochs, here "
            f"{option_of(manifest)('trainer', 'max_epochs')})."
        )
    else:
        sentences.append(
            "An explanation says what the classifier looks at, right or wrong: of a mistake, it explains the mistake."
        )
    if "auc" in manifest.metrics:
        sentences.append(
            f"Of 100 pairs of a random {names[1]!r} and a random {names[0]!r}, the {names[1]!r} gets the higher score "
            f"for {names[1]!r} in {_of_100(manifest.metrics['auc'])} (area under the ROC curve)."
        )
    return sentences + _uncertainty(accuracy, manifest, unclear=manifest.test_counts != [] and low <= largest)


_GRADES = (
    "not good enough to explain with",
    "usable with care: look at the note on the reconstruction that an explanation carries where the label is lost",
    "good enough to explain with",
)


def _grade(share: float) -> int:
    return (share >= USABLE) + (share >= GOOD)


def _uncertainty(share: float, manifest: Manifest, unclear: bool) -> list[str]:
    """How sure a share is, where the number of test images is known."""
    n = sum(manifest.test_counts)
    if n == 0:
        return []
    low, high = _interval(share, manifest)
    few = "only " if unclear or high - low > 0.05 else ""
    end = "; more images would make it surer" if few else ""
    most = _of_100(high, math.ceil)
    return [f"Measured on {few}{n:,} test images: {_of_100(low)} to {most} of 100 at 95 % confidence{end}."]


def _interval(share: float, manifest: Manifest) -> tuple[float, float]:
    """Wilson's interval; the share itself where the number of images is not known."""
    n = sum(manifest.test_counts)
    if n == 0:
        return share, share
    interval = binomtest(round(share * n), n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _of_100(share: float, to_whole: Callable[[float], int] = math.floor) -> str:
    """Per cent with one decimal where it says something, rounded down: 94.99 is not 95.

    Never 100 for less than all, nor 0 for more than none.
    """
    tenths = to_whole(round(1000 * share, 6))  # 1000 * 0.849 is a little less than 849
    return f"{(min(max(tenths, 1), 999) if 0 < share < 1 else tenths) / 10:.1f}".removesuffix(".0")


def option_of(manifest: Manifest) -> Callable[..., object]:
    """The options of the training, by the path to one; "?" for one that is not recorded."""

    def find(*path: str) -> object:
        found = manifest.recipe.get("options", {})
        for key in path:
            found = found.get(key, {}) if isinstance(found, dict) else {}
        return "?" if found == {} else found

    return find
