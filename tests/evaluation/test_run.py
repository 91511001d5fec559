"""An evaluation measures every part, goes on where it stopped with the same figures, and lacks only what cannot be."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from support.evaluations import silent

from abele_py import Abele, load_classifier
from abele_py.attribution.registry import METHODS, methods_of
from abele_py.black_boxes.black_box import BlackBox
from abele_py.cli.commands import main
from abele_py.errors import (
    BlackBoxError,
    NeighborhoodError,
    ParameterError,
)
from abele_py.evaluation import explanation_parts
from abele_py.evaluation.parts import PARTS
from abele_py.evaluation.run import evaluate
from abele_py.evaluation.summary import summarise
from abele_py.metrics.class_autoencoders import fit_class_autoencoders
from abele_py.metrics.registry import METRICS
from abele_py.models.checkpoints import list_checkpoints

pytestmark = pytest.mark.usefixtures("blank_reports")  # but for that of `whole`, which is made before
FEW = ("abele", "gradient-x-input", "occlusion", "random-order", "edge-detector")


def figures_of(folder):
    """All that was measured, without the times."""
    found = {}
    for part in PARTS:
        path = folder / f"{part}.jsonl"
        for line in path.read_text().splitlines() if path.exists() else []:
            for row in json.loads(line)["rows"]:
                row["figures"].pop("seconds", None)
                found[part, json.loads(line)["image"], row["of"], row["at"]] = row["figures"]
    return found


def quick_yardsticks(monkeypatch):
    """Yardsticks good enough to be used, not to be trusted."""
    monkeypatch.setattr(explanation_parts, "fit_class_autoencoders", partial(fit_class_autoencoders, steps=100))


@pytest.fixture(scope="module")
def whole(digits_models, tmp_path_factory):
    """Three digits, maps of two of them, all parts, five methods."""
    folder = tmp_path_factory.mktemp("whole")
    autoencoder, classifier = digits_models
    oracle = load_classifier("digits-oracle")
    options = {"methods": FEW, "n_maps": 2, "n_costly": 1, "oracle": oracle, "progress": silent}
    with pytest.MonkeyPatch.context() as patch:
        quick_yardsticks(patch)
        return folder, options, evaluate("digits:test:3", classifier, autoencoder, folder, **options)


@pytest.mark.slow
def test_every_part_measures_every_figure(whole):
    _, _, summary = whole
    rows = summary["rows"]
    assert {row["part"] for row in rows} == set(PARTS)
    of_checkpoints = {name for manifest in list_checkpoints() for name in manifest.metrics}
    measured = {row["figure"] for row in rows}
    assert measured | of_checkpoints == set(METRICS)
    numbers = {"autoencoder": 1, "saliency": 2, "coherence": 2, "stability": 1, "sanity": 1}
    for row in rows:
        may_lack = row["figure"] in ("balanced_agreement", "coherence", "diversity")
        assert row["n"] == numbers.get(row["part"], 3) or may_lack, row
        if row["n"]:
            known = METRICS[row["figure"]]
            assert known.low - 1e-6 <= row["quantiles"][0] <= row["median"] <= row["quantiles"][-1], row
            assert row["quantiles"][-1] <= known.high + 1e-6, row
            assert row["low"] - 1e-6 <= row["mean"] <= row["high"] + 1e-6, row


@pytest.mark.slow
def test_known_answers_hold_on_real_digits(whole):
    _, _, summary = whole
    mean = {(r["part"], r["of"], r["at"], r["figure"]): r["mean"] for r in summary["rows"]}
    assert mean["surrogate", "surrogate", None, "hit"] == 1.0
    assert mean["counter-exemplars", "abele", None, "validity"] == 1.0
    assert mean["counter-exemplars", "nearest-unlike", None, "validity"] == 1.0
    assert mean["stability", "random-order", None, "stability"] == 0.0, "the same map for every image"
    for row in summary["rows"]:
        if row["part"] == "sanity" and row["of"] in ("random-order", "edge-detector"):
            assert row["mean"] == pytest.approx(1.0), "a map that does not depend on the black box does not change"


@pytest.mark.slow
def test_interrupted_it_goes_on_with_the_same_figures(whole, digits_models, tmp_path):
    folder, options, summary = whole
    autoencoder, classifier = digits_models
    parts = ("surrogate", "saliency", "coherence")

    def stop_at_the_second(images, part):
        for i, image in enumerate(images):
            if i == 1 and part != "coherence":
                raise KeyboardInterrupt
            yield image

    stopped = options | {"parts": parts, "progress": stop_at_the_second}
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            evaluate("digits:test:3", classifier, autoencoder, tmp_path, **stopped)
    with (tmp_path / "surrogate.jsonl").open("a") as file:
        file.write('{"image": 3, "rows": [{"of')  # the machine went down while writing
    again = evaluate("digits:test:3", classifier, autoencoder, tmp_path, **options | {"parts": parts})
    assert figures_of(tmp_path) == {key: value for key, value in figures_of(folder).items() if key[0] in parts}
    assert again["curves"] == summary["curves"]


@pytest.mark.slow
def test_batch_size_changes_nothing(whole, digits_models, tmp_path):
    folder, options, _ = whole
    first = {"parts": ("surrogate", "saliency"), "batch_size": 50, "progress": lambda images, part: list(images)[:1]}
    evaluate("digits:test:3", *digits_models[::-1], tmp_path, **options | first)
    known, found = figures_of(folder), figures_of(tmp_path)
    assert {part for part, *_ in found} == set(first["parts"])
    for key, figures in found.items():
        assert figures == pytest.approx(known[key], abs=1e-5, nan_ok=True), key


@pytest.mark.slow
def test_summary_is_that_of_the_rows(whole):
    folder, _, summary = whole
    assert summarise(folder) == summary
    values = [figures["agreement"] for key, figures in figures_of(folder).items() if key[3] == "sphere 1.0"]
    row = next(r for r in summary["rows"] if r["at"] == "sphere 1.0" and r["figure"] == "agreement")
    assert row["mean"] == pytest.approx(math.fsum(values) / len(values), rel=1e-5)
    low = next(r for r in summary["rows"] if r["at"] == "sphere 1.0" and r["figure"] == "agreement_low")
    assert low["mean"] == pytest.approx(np.quantile(values, 0.05), rel=1e-5)


@pytest.mark.slow
def test_measurements_alone_are_enough_to_go_on(whole, digits_models, tmp_path):
    """As in a fresh clone, without the maps and curves of single images: nothing is measured, nothing is lost."""
    folder, options, summary = whole
    for path in [*folder.glob("*.jsonl"), folder / "run.json", folder / "curves.json"]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert evaluate("digits:test:3", *digits_models[::-1], tmp_path, **options) == summary


@pytest.mark.slow
def test_report_is_written(whole):
    folder, _, _ = whole
    assert {"summary.json", "table.md", "table.csv"} <= {path.name for path in folder.iterdir()}
    assert len(list(folder.rglob("*.png"))) >= 4


@pytest.mark.slow
def test_a_folder_of_another_evaluation_is_left_alone(whole, digits_models):
    folder, options, _ = whole
    before = {path: path.read_bytes() for path in folder.glob("*.json*")}
    with pytest.raises(ParameterError, match="another n_images, images, labels"):
        evaluate("digits:test:5", *digits_models[::-1], folder, **options)
    assert before == {path: path.read_bytes() for path in folder.glob("*.json*")}


@pytest.mark.slow
def test_a_forest_leaves_out_what_needs_gradients_or_weights(digits_models, tmp_path):
    methods = ("abele", "saliency", "lrp", "occlusion")  # saliency is also the name of a part
    summary = evaluate(
        "digits:test:2",
        load_classifier("digits-forest"),
        digits_models[0],
        tmp_path,
        methods=methods,
        parts=("saliency", "sanity"),
        progress=silent,
    )
    assert set(summary["left_out"]["methods"]) == {"saliency", "lrp"}
    assert set(summary["left_out"]["parts"]) == {"sanity"}
    assert "gradient" in summary["left_out"]["methods"]["lrp"]
    assert {row["of"] for row in summary["rows"]} == {"abele", "occlusion"}


@pytest.fixture
def explained(monkeypatch):
    """The images that were explained, as often as they were; a set of them can be refused."""
    images, refused, explain = [], set(), Abele._explain

    def count(self, image, target, space):
        images.append(image)
        if len(images) in refused:
            raise NeighborhoodError("none here")
        return explain(self, image, target, space)

    monkeypatch.setattr(Abele, "_explain", count)
    return images, refused


@pytest.mark.slow
def test_an_image_is_explained_once_whatever_is_measured_of_it(digits_models, tmp_path, explained):
    images, _ = explained
    options = {"methods": ("abele", "edge-detector", "abele-median"), "progress": silent}
    evaluate("digits:test:2", *digits_models[::-1], tmp_path, **options, parts=("surrogate", "saliency"))
    assert len(images) == 1 + 2, "the first image once more, to try the methods"
    maps = load_maps(tmp_path)
    assert list(maps[0]) == ["abele", "edge-detector", "abele-median"]
    for x, found in zip(images[1:], maps, strict=True):
        for name, method in methods_of(digits_models[0], ("abele", "abele-median"), 0).items():
            assert found[name].equal(method(x, BlackBox(digits_models[1]), 0)), "as the method alone gives it"


def load_maps(folder):
    """Of each image its maps by method, in the order of the measurements."""
    lines = [json.loads(line) for line in (folder / "saliency.jsonl").read_text().splitlines()]
    files = [np.load(folder / "maps" / f"{line['image']}.npz") for line in lines]
    return [dict(zip(file["methods"], map(torch.from_numpy, file["maps"]), strict=True)) for file in files]


@pytest.mark.slow
def test_a_kept_explanation_is_read_back_with_its_seconds(digits_models, tmp_path, explained):
    images, _ = explained
    options = {"methods": ("abele",), "parts": ("surrogate",), "progress": silent}
    evaluate("digits:test:1", *digits_models[::-1], tmp_path, **options)
    first, made = (tmp_path / "surrogate.jsonl").read_text(), len(images)
    (tmp_path / "surrogate.jsonl").unlink()
    evaluate("digits:test:1", *digits_models[::-1], tmp_path, **options)
    assert (tmp_path / "surrogate.jsonl").read_text() == first, "seconds and all"
    assert len(images) == made + 1, "the trial alone"


@pytest.mark.slow
def test_an_image_without_neighbors_costs_only_itself(digits_models, tmp_path, explained):
    explained[1].update({1, 2})  # the trial and the first image
    options = {"methods": ("abele", "edge-detector"), "parts": ("saliency",), "progress": silent}
    summary = evaluate("digits:test:2", *digits_models[::-1], tmp_path, **options)
    numbers = {r["of"]: r["n"] for r in summary["rows"] if r["figure"] == "deletion_zero"}
    assert numbers == {"abele": 1, "edge-detector": 2}


@pytest.mark.slow
def test_a_method_that_fails_on_one_image_lacks_that_one_only(digits_models, tmp_path, monkeypatch):
    autoencoder, classifier = digits_models
    occlusion, seen = METHODS["occlusion"], []

    def moody(image, black_box, target):
        seen.append(image)
        if len(seen) == 2:  # the first call tries the method
            raise BlackBoxError("not today")
        return occlusion.function(image, black_box, target)

    monkeypatch.setitem(METHODS, "occlusion", replace(occlusion, function=moody))
    options = {"methods": ("occlusion", "edge-detector"), "parts": ("saliency", "coherence"), "progress": silent}
    summary = evaluate("digits:test:3", classifier, autoencoder, tmp_path, **options)
    numbers = {r["of"]: r["n"] for r in summary["rows"] if r["figure"] == "deletion_zero"}
    assert numbers == {"occlusion": 2, "edge-detector": 3}


@pytest.mark.slow
def test_another_black_box_does_not_go_on_with_the_first_one_s_folder(digits_models, tmp_path):
    autoencoder, classifier = digits_models
    options = {"methods": ("edge-detector",), "parts": ("saliency",), "progress": silent}
    evaluate("digits:test:3", lambda x: classifier(x).detach(), autoencoder, tmp_path, **options)
    with pytest.raises(ParameterError, match="another labels"):
        evaluate("digits:test:3", lambda x: classifier(x).detach().roll(1, dims=1), autoencoder, tmp_path, **options)


@pytest.mark.slow
def test_classes_of_the_black_box_s_own(digits_models, tmp_path, monkeypatch):
    """Odd or even: the yardsticks are fitted on what the black box calls odd, not on the data set's ones."""
    quick_yardsticks(monkeypatch)
    autoencoder, classifier = digits_models

    def odd(images):
        with torch.no_grad():
            return classifier(images).argmax(dim=1) % 2

    parts = ("counter-exemplars",)
    summary = evaluate("digits:test:2", odd, autoencoder, tmp_path, methods="abele", parts=parts, progress=silent)
    mean = {(r["of"], r["figure"]): r["mean"] for r in summary["rows"]}
    assert mean["abele", "availability_per_class"] == 1.0
    assert mean["nearest-unlike", "im1"] < 1


@pytest.mark.slow
def test_a_class_that_the_black_box_never_gives_costs_one_part_only(digits_models, tmp_path):
    autoencoder, classifier = digits_models

    def never_zero(images):
        with torch.no_grad():
            return classifier(images)[:, 1:].argmax(dim=1) + 1

    parts = ("counter-exemplars", "saliency")
    options = {"methods": ("edge-detector",), "parts": parts, "progress": silent}
    summary = evaluate("digits:test:1", never_zero, autoencoder, tmp_path, **options)
    assert "images per label; expected some of each" in summary["left_out"]["parts"]["counter-exemplars"]
    assert {row["part"] for row in summary["rows"]} == {"saliency"}


@pytest.mark.slow
def test_labels_alone_are_enough(digits_models, tmp_path):
    autoencoder, classifier = digits_models

    def labels_only(images):
        with torch.no_grad():
            return classifier(images).argmax(dim=1)

    methods, parts = ("abele", "occlusion"), ("surrogate", "saliency", "sanity")
    summary = evaluate(
        "digits:test:1", labels_only, autoencoder, tmp_path, methods=methods, parts=parts, progress=silent
    )
    assert set(summary["left_out"]["parts"]) == {"sanity"}
    assert {row["part"] for row in summary["rows"]} == set(parts) - {"sanity"}


@pytest.mark.slow
def test_command(tmp_path, capsys):
    out = str(tmp_path / "out")
    arguments = ["evaluate", "digits:test:2", "--autoencoder", "digits", "--black-box", "digits-cnn", "--out", out]
    arguments += ["--oracle", "digits-oracle", "--methods", "abele,random-order", "--parts", "surrogate,saliency"]
    assert main(arguments) == 0
    assert "table.md" in capsys.readouterr().out
    assert main(arguments) == 0, "nothing is left to measure"
    assert main([*arguments, "--seed", "1"]) == 2
    assert "another seed" in capsys.readouterr().err
