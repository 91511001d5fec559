"""Explanation: frozen data that survive a file exactly; what is no explanation is refused, nothing is half-written."""

import dataclasses
import hashlib
import json
import pickle

import numpy as np
import pytest
import torch
from support.paths import GOLDEN, ROOT
from support.worlds import Identity, IdentityModule, always_one, hard, image, quarters, soft

from abele_py import Abele, Explanation
from abele_py.errors import AbeleError, DataError
from abele_py.storage.files import write_atomically


def same(a, b):
    """Equal in every field, dtype, shape and bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if type(a) is not type(b):
        return False
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def explained(black_box, neighborhood="local", **options):
    return Abele(black_box, Identity(), neighborhood, n_samples=100, **options).explain(image(0.6, 0.5))


@pytest.fixture(
    scope="module", params=["scores", "labels only", "one label", "many labels", "genetic", "paper", "module"]
)
def any_explanation(request, explanation):
    return {
        "scores": lambda: explanation,
        "labels only": lambda: explained(hard),
        "one label": lambda: explained(always_one),
        "many labels": lambda: explained(quarters, class_names=("a", "b", 'c "quoted"', "ü")),
        "genetic": lambda: explained(hard, "genetic"),
        "paper": lambda: explained(quarters, None, preset="paper"),
        "module": lambda: Abele(soft, IdentityModule(), n_samples=100).explain(image(0.6, 0.5)),  # without a mixture
    }[request.param]()


def test_the_comparison_of_these_tests_sees_one_bit(explanation):
    latent = explanation.latent.clone()
    latent[0] = latent[0].nextafter(torch.tensor(9.0))
    assert not same(explanation, dataclasses.replace(explanation, latent=latent))
    assert same(explanation, dataclasses.replace(explanation))


def test_a_file_gives_back_exactly_what_was_saved(any_explanation, tmp_path):
    path = any_explanation.save(tmp_path / "new folder" / "e.npz")
    assert same(Explanation.load(path), any_explanation)
    assert same(Explanation.load(str(path)), any_explanation)


def test_json_gives_back_exactly_what_was_written(any_explanation):
    again = Explanation.from_json(any_explanation.to_json())
    assert same(again, any_explanation)
    assert again.to_json() == any_explanation.to_json()
    json.loads(any_explanation.to_json(), parse_constant=pytest.fail)  # no NaN, which is no JSON


def test_an_explanation_that_was_loaded_can_be_used(any_explanation, tmp_path):
    again = Explanation.load(any_explanation.save(tmp_path / "e.npz"))
    assert str(again) == str(any_explanation)
    latents = again.neighborhood.latents
    assert torch.equal(again.surrogate.predict(latents), any_explanation.surrogate.predict(latents))
    assert bool(again.rule.covers(again.exemplars.latents).all())


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Explanation)])
def test_an_explanation_is_frozen(explanation, name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(explanation, name, None)


def test_an_explanation_is_computed_once(explanation):
    """Published code re-sampled exemplars and saliency at every access."""
    assert explanation.saliency is explanation.saliency
    assert explanation.exemplars.images is explanation.exemplars.images
    assert explanation.to_json() == explanation.to_json()


def test_an_explanation_names_its_black_box_and_holds_none(explanation):
    assert explanation.provenance["black_box"]["name"] == "support.worlds.soft"
    nameless = dataclasses.replace(explanation, provenance=None)
    assert "soft" not in nameless.to_json()
    assert b"worlds" not in pickle.dumps(nameless)


def test_it_holds_the_options_that_made_it():
    params = explained(hard, "genetic", random_state=3, n_exemplars=4).params
    assert params["neighborhood"]["strategy"] == "Genetic"
    assert params["neighborhood"]["generations"] >= 1
    assert (params["random_state"], params["n_samples"], params["n_exemplars"]) == (3, 100, 4)
    assert set(params["versions"]) >= {"abele-py", "torch"}


def test_the_golden_explanation_still_loads_with_its_values():
    """Written with schema 1: the identity world, `soft`, local neighborhood, 30 neighbors, 3 exemplars, 3 frames."""
    golden = Explanation.load(GOLDEN)
    assert (golden.label, golden.reconstruction_label) == (1, 1)
    assert golden.class_names == ("dark", "bright")
    assert golden.image.tolist() == [[[0.6000000238418579, 0.5]]]
    assert golden.scores.tolist() == [0.19999998807907104, 0.800000011920929]
    assert [(c.axis, c.operator, round(c.threshold, 6)) for c in golden.rule.conditions] == [(0, ">", 0.241759)]
    assert [str(c) for c in golden.counterfactual_rules] == ["{z0 <= 0.24} -> 0"]
    assert golden.neighborhood.latents.shape == (30, 2)
    assert golden.exemplars.images.shape == (3, 1, 1, 2)
    assert golden.counter_exemplars.labels.tolist() == [0]
    assert golden.counter_exemplars.paths.shape[2:] == (1, 1, 2)
    assert golden.trust.hit is True
    assert golden.fidelity == golden.trust.held_out == 1.0
    assert golden.saliency.shape == (1, 2)
    assert golden.surrogate.predict(golden.latent[None]).tolist() == [1]
    assert golden.params["n_samples"] == 30
    assert golden.trust.typicality is golden.exemplar_typicality is golden.counter_exemplar_typicality is None
    assert golden.traversals is None
    assert same(Explanation.from_json(golden.to_json()), golden)


def refused(path):
    with pytest.raises(DataError) as caught:
        Explanation.load(path)
    assert isinstance(caught.value, (AbeleError, OSError))
    assert "got" in str(caught.value)
    assert "expected" in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "no.npz")
    refused(tmp_path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign.npz"
    for content in (b"", b"hello", b"PK\x03\x04", b"\x93NUMPY", pickle.dumps([1, 2])):
        path.write_bytes(content)
        refused(path)
    np.savez(path, other=np.zeros(3))
    refused(path)
    np.savez(path, explanation=np.zeros(3))
    refused(path)
    np.savez(path, explanation=np.array('{"@": "Rule", "conditions": [], "label": 1}'))
    refused(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    refused(path)


class Malicious:
    def __reduce__(self):
        return (pytest.exit, ("code from a file was run",))


def test_nothing_that_is_read_runs_code(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, explanation=np.array([Malicious()], dtype=object))
    refused(path)
    path.write_bytes(pickle.dumps(Malicious()))
    refused(path)
    with pytest.raises(DataError):
        Explanation.from_json('{"@": "os.system", "command": "true"}')
    with pytest.raises(DataError):
        Explanation.from_json('{"@array": {"dtype": "load", "shape": [1], "values": [1]}}')


def test_a_truncated_file_is_refused_wherever_it_ends(explanation, tmp_path):
    content = explanation.save(tmp_path / "whole.npz").read_bytes()
    for n in range(0, len(content), max(1, len(content) // 60)):
        (tmp_path / "part.npz").write_bytes(content[:n])
        refused(tmp_path / "part.npz")


def test_a_damaged_file_is_refused_or_means_the_same(explanation, tmp_path):
    """A flipped bit may hit a byte that means nothing; it must never change a value or raise another error."""
    content = explanation.save(tmp_path / "whole.npz").read_bytes()
    refusals = 0
    for position in range(0, len(content), max(1, len(content) // 300)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            assert same(Explanation.load(tmp_path / "damaged.npz"), explanation), position
        except DataError:
            refusals += 1
    assert refusals > 100


def test_a_future_schema_is_refused_and_an_update_advised(explanation, tmp_path):
    text = explanation.to_json()
    assert text.count('"@schema": 1') == 1
    with pytest.raises(DataError, match="schema 2, this version reads 1; update"):
        Explanation.from_json(text.replace('"@schema": 1', '"@schema": 2'))
    with np.load(explanation.save(tmp_path / "e.npz")) as archive:
        arrays = dict(archive)
    arrays["explanation"] = np.array(str(arrays["explanation"]).replace('"@schema": 1', '"@schema": 2'))
    np.savez(tmp_path / "future.npz", **arrays)
    assert "schema 2" in refused(tmp_path / "future.npz")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "7",
        "[]",
        "{}",
        '"text"',
        '{"@": "Explanation"}',
        '{"@": "Explanation", "unknown": 1}',
        '{"@": "Nothing"}',
        '{"@array": 3}',
        '{"@array": {"dtype": "float32", "shape": [2], "values": [1]}}',
        '{"@array": {"dtype": "float32", "shape": [2], "values": ["a", "b"]}}',
        '{"@array": {"dtype": "no_type", "shape": [1], "values": [1]}}',
        '{"@": ["Rule"]}',
        "[" * 100_000,
        '{"@schema": {"a": 1}, "@": "Rule"}',
    ],
)
def test_texts_that_are_no_explanation_are_refused(text):
    with pytest.raises(DataError, match=r"expected JSON of Explanation\.to_json"):
        Explanation.from_json(text)


def test_a_missing_or_additional_field_is_refused(explanation):
    data = json.loads(explanation.to_json())
    for name in [f.name for f in dataclasses.fields(Explanation) if f.default is dataclasses.MISSING]:
        with pytest.raises(DataError):
            Explanation.from_json(json.dumps({k: v for k, v in data.items() if k != name}))
    with pytest.raises(DataError):
        Explanation.from_json(json.dumps({**data, "more": 1}))


def test_a_failed_save_leaves_the_old_file_and_nothing_else(explanation, tmp_path, monkeypatch):
    path = explanation.save(tmp_path / "e.npz")
    before = path.read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="no space left"):
        explanation.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["e.npz"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_os_error(explanation, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        explanation.save(tmp_path / "file" / "e.npz")


def test_words_say_label_fidelity_rule_and_notes(any_explanation):
    text = str(any_explanation)
    assert text.startswith(f"label {any_explanation.name(any_explanation.label)}")
    assert "held-out neighbors" in text
    assert "rule: " in text
    assert all(note.text in text for note in any_explanation.notes)
    assert repr(any_explanation) == text


def test_words_say_how_typical_the_image_is_where_that_is_known(explanation):
    assert f"\ntypicality {explanation.trust.typicality:.2f}, " in str(explanation)
    unknown = dataclasses.replace(explanation, trust=dataclasses.replace(explanation.trust, typicality=None))
    assert "typicality" not in str(unknown)


def test_labels_without_a_name_are_numbers(explanation):
    assert explanation.name(1) == "bright"
    assert explanation.name(2) == "2"


def test_arrays_are_found_by_name_with_numpy_alone(explanation, tmp_path):
    with np.load(explanation.save(tmp_path / "why.npz"), allow_pickle=False) as archive:
        assert np.array_equal(archive["saliency"], explanation.saliency.numpy())
        assert np.array_equal(archive["exemplars.images"], explanation.exemplars.images.numpy())


def test_what_was_explained_is_told_and_added_to(explanation):
    told = explanation.provenance
    assert told["image"]["shape"] == [1, 1, 2]
    assert told["autoencoder"]["type"] == "support.worlds.Identity"
    more = explanation.with_provenance(time="2026-01-01T00:00:00+00:00", image={"name": "7.png"})
    assert more.provenance["image"] == told["image"] | {"name": "7.png"}
    assert more.provenance["black_box"] == told["black_box"]
    assert Explanation.from_json(more.to_json()).provenance == more.provenance
    page = more.to_html()
    assert "7.png" in page
    assert told["image"]["sha256"] in page
    assert "time" not in told


def test_a_checkpoint_is_told_with_the_hashes_of_all_its_files(digit_explanation):
    told = digit_explanation.provenance["autoencoder"]
    assert (told["name"], told["specification"]) == ("digits", "digits")
    folder = ROOT / "checkpoints" / "digits"
    for name in ("manifest.json", "model.safetensors"):
        assert told["files"][name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_the_summary_says_the_same_in_a_few_kilobytes(digit_explanation):
    e = digit_explanation
    summary = e.summary()
    text = json.dumps(summary, allow_nan=False)
    assert len(text) < 10_000
    assert json.loads(text) == summary
    assert summary["label"] == {"label": e.label, "name": e.name(e.label)}
    assert summary["scores"][0] == {**summary["label"], "score": float(e.scores[e.label])}
    assert summary["rule"] == e.rule.words(e.name)
    assert [c["label"] for c in summary["counter_exemplars"]] == e.counter_exemplars.labels.tolist()
    assert summary["trust"]["held_out"] == e.fidelity
    assert summary["provenance"] == e.provenance


def test_the_summary_of_labels_only_and_of_nothing_found():
    e = Abele(lambda x: always_one(x).argmax(dim=1), Identity(), n_samples=100).explain(image(0.6, 0.5))
    summary = json.loads(json.dumps(e.summary(), allow_nan=False))
    assert summary["scores"] is None
    assert summary["counter_exemplars"] == []
    assert {note["code"] for note in summary["notes"]} == {note.code for note in e.notes}
