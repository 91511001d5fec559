"""Checkpoints: exact round trips, and every kind of damage refused before anything is parsed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from abele_py.errors import CheckpointError, UnknownNameError
from abele_py.models import checkpoints
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.checkpoints import (
    MANIFEST,
    Manifest,
    find_checkpoint,
    load_autoencoder,
    load_classifier,
    read_manifest,
    save_checkpoint,
)
from abele_py.models.classifiers import ConvolutionalClassifier, Forest
from abele_py.models.mixture import fit_mixture

PICTURE = b"\x89PNG, for the sake of the test"


def manifest(name="small"):
    return Manifest(
        name=name,
        kind="autoencoder",
        architecture="",
        config={},
        data_set="digits",
        split="train",
        preprocessing="pixels / 255",
        class_names=["a", "b"],
        recipe={"name": "small", "options": {}},
        seed=0,
        versions={"torch": torch.__version__},
        hardware="test",
        training_seconds=1.5,
        metrics={"label_preservation": 0.5, "rmse_255": 20.0},
        licence="none",
    )


def small_network(kind):
    torch.manual_seed(0)
    if kind == "forest":
        images = torch.rand(60, 1, 4, 4)
        forest = RandomForestClassifier(5, random_state=0).fit(images.flatten(1).numpy(), torch.arange(60).numpy() % 3)
        return Forest.from_sklearn(forest, (1, 4, 4))
    if kind == "cnn":
        return ConvolutionalClassifier((1, 8, 8), 3, channels=(4,), hidden=8)
    architecture = kind.removesuffix(" with a mixture")
    network = AdversarialAutoencoder(
        (1, 8, 8), 3, architecture, hidden=(16, 16), channels=(2, 4), discriminator_hidden=(8,)
    )
    latents = torch.randn(50, 3)
    mixture = fit_mixture(latents, latents, components=(2,)) if kind != architecture else None
    network.eval().calibrate(latents, torch.randn(20, 3), mixture=mixture)
    return network


def changed(folder, **fields):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture
def saved(tmp_path):
    return save_checkpoint(
        tmp_path / "small", small_network("mlp with a mixture"), manifest(), {"samples.png": PICTURE}
    )


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", ["mlp", "conv", "mlp with a mixture", "cnn", "forest"])
def test_round_trip_is_exact(tmp_path, kind, half):
    network = small_network(kind)
    if half:
        for parameter in network.parameters():
            parameter.data.copy_(parameter.half())
    folder = save_checkpoint(tmp_path / "x", network, manifest())
    again = (load_classifier if kind in ("cnn", "forest") else load_autoencoder)(folder)
    assert type(again) is type(network)
    assert again.config == network.config
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    before, after = network.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].dtype == after[name].dtype
        assert torch.equal(before[name], after[name])


def test_autoencoder_answers_the_same_after_a_round_trip(saved):
    network, again = small_network("mlp with a mixture"), load_autoencoder(saved)
    images = torch.rand(20, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(network.encode(images), again.encode(images))
        assert torch.equal(network.decode(network.encode(images)), again.decode(again.encode(images)))
    assert again.validity_threshold == network.validity_threshold
    assert torch.equal(again.reference_latents, network.reference_latents)
    latents = torch.randn(20, 3)
    assert torch.equal(again.mixture.log_density(latents), network.mixture.log_density(latents))
    assert torch.equal(again.mixture.typicality(latents), network.mixture.typicality(latents))


def test_loading_in_inference_mode_gives_a_network_that_refines_codes_outside_of_it(tmp_path):
    network = AdversarialAutoencoder((1, 8, 8), 3, hidden=(16,), discriminator_hidden=(8,), refinement=2).eval()
    folder = save_checkpoint(tmp_path / "x", network, manifest())
    with torch.inference_mode():
        again = load_autoencoder(folder)
        inside = again.encode(torch.full((2, 1, 8, 8), 0.5))
    assert not any(tensor.is_inference() for tensor in again.state_dict().values())
    assert torch.equal(again.encode(torch.full((2, 1, 8, 8), 0.5)), inside)


def test_half_precision_halves_the_file(tmp_path):
    network = small_network("cnn")
    full = save_checkpoint(tmp_path / "full", network, manifest())
    for parameter in network.parameters():
        parameter.data.copy_(parameter.half())
    half = save_checkpoint(tmp_path / "half", network, manifest())
    weights = sum(parameter.numel() for parameter in network.parameters())
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (full, half)]
    assert sizes[0] - sizes[1] == pytest.approx(2 * weights, rel=0.1)


def test_manifest_round_trip(saved):
    found = read_manifest(saved)
    network = small_network("mlp with a mixture")
    assert set(found.files) == {"model.safetensors", "samples.png"}
    assert found == replace(manifest(), architecture="AdversarialAutoencoder", config=network.config, files=found.files)


def test_an_older_manifest_is_read_without_counts(saved):
    path = saved / "manifest.json"
    data = json.loads(path.read_text())
    del data["test_counts"]
    path.write_text(json.dumps(data))
    assert read_manifest(saved).test_counts == []
    changed(saved, test_counts=[3, 4])
    assert read_manifest(saved).test_counts == [3, 4]
    changed(saved, test_counts="many")
    with pytest.raises(CheckpointError, match="test_counts"):
        read_manifest(saved)


def test_card_is_made_from_the_complete_manifest_and_needs_no_hash(tmp_path):
    folder = save_checkpoint(
        tmp_path / "x", small_network("cnn"), manifest(), card=lambda found: f"{found.architecture} {len(found.files)}"
    )
    assert (folder / "MODEL_CARD.md").read_text() == "ConvolutionalClassifier 1"
    (folder / "MODEL_CARD.md").write_text("a note of the user")
    load_classifier(folder)


def test_saving_again_replaces_the_whole_folder(saved):
    save_checkpoint(saved, small_network("cnn"), manifest("other"))
    assert sorted(path.name for path in saved.iterdir()) == ["manifest.json", "model.safetensors"]
    assert read_manifest(saved).kind == "classifier"
    assert [path.name for path in saved.parent.iterdir()] == ["small"]


@pytest.mark.parametrize("what", ["a folder of notes", "a file", "a link", "a note in a checkpoint", "in the way"])
def test_only_a_checkpoint_is_replaced(what, saved, tmp_path):
    folder, note = tmp_path / "mine", tmp_path / "mine" / "notes.txt"
    if what == "a file":
        folder.write_text("the user's")
    elif what == "a link":
        folder.symlink_to(saved)
    else:
        folder.mkdir()
        if what == "a note in a checkpoint":
            save_checkpoint(folder, small_network("cnn"), manifest())
        note = tmp_path / ".mine.previous" / "notes.txt" if what == "in the way" else note
        note.parent.mkdir(exist_ok=True)
        note.write_text("the user's")
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    with pytest.raises(CheckpointError, match=r"^got .*, which is .*; expected a free place, .*; choose another"):
        save_checkpoint(folder, small_network("cnn"), manifest())
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before


def test_what_a_killed_process_left_of_a_checkpoint_is_removed_and_similar_folders_stay(saved):
    for name, content in ((".small.partial-1", "model.safetensors"), (".small.partial-notes", "notes.txt")):
        (saved.parent / name).mkdir()
        (saved.parent / name / content).write_text("x")
    save_checkpoint(saved, small_network("cnn"), manifest())
    assert sorted(path.name for path in saved.parent.iterdir()) == [".small.partial-notes", "small"]


def test_interrupted_saving_leaves_the_earlier_checkpoint_whole(saved, monkeypatch):
    def full_disk(self, content):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(CheckpointError, match="no space left"):
        save_checkpoint(saved, small_network("cnn"), manifest("other"))
    assert load_autoencoder(saved).latent_dim == 3
    assert [path.name for path in saved.parent.iterdir()] == ["small"]


def test_a_swap_that_fails_brings_the_earlier_checkpoint_back(saved, monkeypatch):
    rename = Path.rename

    def refused(self, target):
        if ".partial-" in self.name:
            raise PermissionError("no renaming here")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(CheckpointError, match="no renaming here"):
        save_checkpoint(saved, small_network("cnn"), manifest("other"))
    assert load_autoencoder(saved).latent_dim == 3
    assert [path.name for path in saved.parent.iterdir()] == ["small"]


def test_the_earlier_checkpoint_outlives_a_kill_within_the_swap_and_a_full_disk_after_it(saved, monkeypatch):
    """A kill between the two renames leaves it under another name: the next call puts it back before it writes."""
    saved.rename(saved.with_name(".small.previous"))

    def full_disk(self, content):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        with pytest.raises(CheckpointError, match="no space left"):
            save_checkpoint(saved, small_network("cnn"), manifest("other"))
    assert load_autoencoder(saved).latent_dim == 3
    assert [path.name for path in saved.parent.iterdir()] == ["small"]
    saved.rename(saved.with_name(".small.previous"))
    save_checkpoint(saved, small_network("cnn"), manifest("other"))
    assert read_manifest(saved).kind == "classifier"
    assert [path.name for path in saved.parent.iterdir()] == ["small"]


def test_the_only_whole_checkpoint_is_found_under_its_other_name(saved):
    saved.rename(saved.with_name(".small.previous"))
    with pytest.raises(CheckpointError, match=r"got no folder .*small.*\.small\.previous"):
        load_autoencoder(saved)


@pytest.mark.parametrize("file", ["model.safetensors", "samples.png"])
@pytest.mark.parametrize("where", [0, 0.5, -1])
def test_one_flipped_bit_is_refused_before_parsing(saved, file, where, monkeypatch):
    path = saved / file
    content = bytearray(path.read_bytes())
    content[int(where * len(content)) if where != -1 else -1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(checkpoints, "parse_safetensors", lambda content: pytest.fail("parsed before verified"))
    with pytest.raises(CheckpointError, match=f"damaged file .*{file}"):
        load_autoencoder(saved)


@pytest.mark.parametrize("file", ["manifest.json", "model.safetensors", "samples.png"])
def test_missing_file_is_refused(saved, file):
    (saved / file).unlink()
    with pytest.raises(CheckpointError, match=file):
        load_autoencoder(saved)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"text"', "null", "\udcff"])
def test_damaged_manifest_is_refused(saved, text):
    (saved / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        load_autoencoder(saved)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": 2}, "newer abele_py"),
        ({"schema": "1"}, "schema '1'"),
        ({"schema": None}, "schema None"),
        ({"files": {}}, r"model\.safetensors"),
        ({"files": {"../small/samples.png": "0", "model.safetensors": "0"}}, "no file|damaged"),
        ({"metrics": None}, "metrics"),
        ({"surprise": 1}, "surprise"),
        ({"kind": "classifier"}, "expected 'autoencoder'"),
        ({"config": {}}, "do not fit"),
        ({"config": {"latent_dim": 0}}, "builds no AdversarialAutoencoder"),
        ({"config": {"latent_dim": "many"}}, "builds no AdversarialAutoencoder"),
        ({"config": {"colour": "blue"}}, "builds no AdversarialAutoencoder"),
        ({"config": {"hidden": []}}, "builds no AdversarialAutoencoder"),
        ({"config": {"image_shape": [1, 100_000, 100_000]}}, "do not fit"),
        ({"config": {"n_references": -1}}, "builds no AdversarialAutoencoder"),
        ({"config": {"n_components": -1}}, "builds no AdversarialAutoencoder"),
    ],
)
def test_manifest_is_not_trusted(saved, fields, message):
    changed(saved, **fields)
    with pytest.raises(CheckpointError, match=message):
        load_autoencoder(saved)


@pytest.mark.parametrize("n_components", [0, 1, 3])
def test_another_number_of_components_than_the_weights_have_is_refused(saved, n_components):
    changed(saved, config=read_manifest(saved).config | {"n_components": n_components})
    with pytest.raises(CheckpointError, match="do not fit its config, at _mixture"):
        load_autoencoder(saved)


def test_a_checkpoint_of_a_time_without_mixtures_loads(tmp_path):
    folder = save_checkpoint(tmp_path / "old", small_network("mlp"), manifest())
    config = read_manifest(folder).config
    del config["n_components"]
    changed(folder, config=config)
    assert load_autoencoder(folder).mixture is None


def test_unknown_architecture_names_the_known_ones(saved):
    changed(saved, architecture="AdversarialAutoencodr")
    with pytest.raises(UnknownNameError, match="Did you mean 'AdversarialAutoencoder'"):
        load_autoencoder(saved)


def test_wrong_kind_is_refused(saved):
    with pytest.raises(CheckpointError, match=r"kind 'autoencoder'.*expected 'classifier'"):
        load_classifier(saved)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = small_network("mlp")
    next(network.parameters()).data[0] = float("nan")
    folder = save_checkpoint(tmp_path / "x", network, manifest())
    with pytest.raises(CheckpointError, match="NaN"):
        load_autoencoder(folder)


def test_network_of_no_known_class_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="Linear"):
        save_checkpoint(tmp_path / "x", torch.nn.Linear(2, 2), manifest())


def test_unknown_name_and_missing_folder(tmp_path):
    with pytest.raises(UnknownNameError, match="expected one of"):
        load_autoencoder("no-such-checkpoint")
    with pytest.raises(CheckpointError, match="got no folder"):
        load_autoencoder(tmp_path / "nothing")


def test_loading_leaves_the_global_random_state_alone(saved):
    before = torch.get_rng_state()
    load_autoencoder(saved)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("name", "value"), [("convolutions", 10**9), ("channels", [1] * 10**5)])
def test_more_layers_than_weights_are_refused_before_they_are_built(tmp_path, name, value):
    folder = tmp_path / "many"
    shutil.copytree(find_checkpoint("digits-cnn"), folder)
    content = json.loads((folder / MANIFEST).read_text())
    content["config"][name] = value
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=rf"layers or sizes in {name} of .*; expected weights for each"):
        load_classifier(folder)
