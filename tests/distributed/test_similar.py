"""Stored explanations that hold for another image: the rules that cover its code, by models that are the run's own."""

import json

import numpy as np
import pytest
import torch
from support.runs import condition, failed, row, write_run
from support.worlds import Identity, image, soft

from abele_py import Abele
from abele_py.distributed import similar
from abele_py.distributed.images import Listed
from abele_py.distributed.rows import row_of, rule_of_row
from abele_py.distributed.shards import read_shards
from abele_py.distributed.similar import stored
from abele_py.errors import AbeleError, DataError, ParameterError
from abele_py.provenance import origin_of

AUTOENCODER = Identity()
MODELS = {"autoencoder": origin_of(AUTOENCODER), "black_box": origin_of(soft)}


def world(tmp_path, rows, **changes):
    """A run of the identity world, whose codes are the two pixels of an image."""
    return write_run(tmp_path, rows, ("dark", "bright"), **{"image_shape": (1, 1, 2), "models": MODELS} | changes)


def asked(folder, pixels=(0.6, 0.5), **options):
    return similar(image(*pixels), folder, **{"autoencoder": AUTOENCODER, "black_box": soft} | options)


def coded(index, label, code, *conditions, **changes):
    return row(index, label, conditions=list(conditions), latent=np.array(code, dtype=np.float32), **changes)


LOW = condition(0, threshold=0.7)  # first pixel at most 0.7
HIGH = condition(0, threshold=0.7, operator=">")


def test_rules_that_cover_the_code_the_nearest_first(tmp_path):
    label = int(soft(image(0.6, 0.5)[None]).argmax())
    rows = [
        coded(0, label, (0.9, 0.5), LOW),
        coded(1, label, (0.6, 0.4), LOW),
        coded(2, label, (0.6, 0.5), HIGH),
        coded(3, 1 - label, (0.6, 0.5), LOW),
        coded(4, label, (0.6, 0.5), condition(None, axis=1, threshold=0.4, operator=">"), true_label=1),
        coded(5, label, (0.0, 0.0)),
        failed(6),
    ]
    found = asked(world(tmp_path, rows, shard_size=2))
    assert [one.index for one in found.images] == [4, 1, 0, 5]
    assert [one.distance for one in found.images] == pytest.approx([0, 0.1, 0.3, (0.36 + 0.25) ** 0.5], abs=1e-6)
    assert (found.label, found.n_covering, found.n_with_label, found.n_unknown) == (label, 4, 5, 0)
    first = found.images[0]
    assert (first.shard, first.name, first.true_label, first.grade) == (2, "digits:test:4", 1, "good")
    assert [one.index for one in asked(tmp_path, most=2).images] == [4, 1]


def test_what_covers_is_what_the_rules_of_explanations_cover(tmp_path):
    explainer = Abele(soft, AUTOENCODER, n_samples=100, n_exemplars=4)
    images = torch.rand(12, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    explanations = [explainer.explain(x) for x in images]
    found = zip(images, explanations, strict=True)
    rows = [row_of(Listed(i, f"x{i}", x, None), e, "summary") for i, (x, e) in enumerate(found)]
    folder = world(tmp_path, rows, shard_size=5)
    rows = [row for table in read_shards(folder) for row in table.to_pylist()]
    for x, own in zip(images, explanations, strict=True):
        found = similar(x, folder, autoencoder=AUTOENCODER, black_box=soft, most=12)
        covering = {
            i
            for i, (r, e) in enumerate(zip(rows, explanations, strict=True))
            if e.label == own.label and bool(rule_of_row(r).covers(own.latent[None]))
        }
        assert {one.index for one in found.images} == covering
        assert found.n_covering == len(covering)


def test_rules_that_were_not_kept_are_counted(tmp_path):
    label = int(soft(image(0.6, 0.5)[None]).argmax())
    lost = condition(0, threshold=0.7, direction=None)
    rows = [coded(0, label, (0.9, 0.5), LOW), coded(1, label, (0.6, 0.4), lost), row(2, label, latent=None)]
    found = asked(world(tmp_path, rows))
    assert ([one.index for one in found.images], found.n_unknown) == ([0], 2)


def test_a_run_without_codes_or_directions_is_told(tmp_path):
    rows = [row(i, label, latent=None) for i, label in enumerate((0, 1))]
    with pytest.raises(DataError, match="--keep figures"):
        asked(world(tmp_path, rows))


def test_an_empty_run_has_nothing_similar(tmp_path):
    assert asked(world(tmp_path, [])).images == ()


def test_other_models_than_those_of_the_run_are_refused(tmp_path):
    folder = world(tmp_path, [coded(0, 0, (0, 0))])
    with pytest.raises(ParameterError, match="another black box"):
        asked(folder, black_box=lambda x: soft(x))
    other = {"autoencoder": {"name": "x", "files": {"model": "abc"}}, "black_box": origin_of(soft)}
    with pytest.raises(ParameterError, match=r"another autoencoder .*than the run's \(x, abc\)"):
        asked(world(tmp_path, [], models=other))


@pytest.mark.parametrize(
    "spec",
    [
        "http://127.0.0.1:9/",
        "os:getcwd",
        "model.onnx",
        "//server/share",
        "\\\\server\\share",
        "nowhere",
        "",
        "a\0b",
        5,
        None,
    ],
)
@pytest.mark.parametrize("role", ["autoencoder", "black_box"])
def test_what_a_file_names_is_loaded_only_if_it_is_a_checkpoint(tmp_path, monkeypatch, spec, role):
    monkeypatch.setattr("abele_py.black_boxes.http.HttpClassifier.__init__", lambda *_: pytest.fail("it is called"))
    named = {"autoencoder": "digits", "black_box": "digits-cnn"} | {role: spec}
    folder = world(tmp_path, [], named=named)
    with pytest.raises(ParameterError, match="expected"):
        similar(image(0.6, 0.5), folder)


def test_the_models_that_a_run_names_are_loaded(tmp_path, digits_models, digit_images, digit_explanation):
    autoencoder, classifier = digits_models
    models = {"autoencoder": origin_of(autoencoder), "black_box": origin_of(classifier)}
    moved = {role: {k: v for k, v in origin.items() if k != "specification"} for role, origin in models.items()}
    kept = row_of(Listed(0, "digits:test:7", digit_images[7], 7), digit_explanation, "figures")
    folder = write_run(tmp_path, [kept], models=moved, image_shape=(1, 28, 28), keep="figures")
    found = similar(digit_images[7], folder)
    assert [(one.index, one.distance) for one in found.images] == [(0, pytest.approx(0, abs=1e-4))]
    with pytest.raises(AbeleError, match="expected"):
        similar(digit_images[7][:, :5], folder)


def test_a_damaged_shard_is_named(tmp_path):
    folder = world(tmp_path, [coded(i, i, (0, 0, 0)) for i in range(2)], shard_size=2)
    with pytest.raises(DataError, match=r"00000000\.parquet"):
        asked(folder, (0.9, 0.9))


def test_a_stored_explanation_is_found(tmp_path):
    path = tmp_path / "explanations" / "00000002" / "7.npz"
    assert stored(tmp_path, 2, 7) is None
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert stored(tmp_path, 2, 7) == path


def test_a_run_whose_names_are_odd_is_refused_in_one_line(tmp_path):
    folder = world(tmp_path, [])
    content = json.loads((folder / "run.json").read_text()) | {"named": []}
    (folder / "run.json").write_text(json.dumps(content))
    with pytest.raises(AbeleError):
        similar(image(0.6, 0.5), folder)
