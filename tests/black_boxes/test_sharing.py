"""Black boxes shared by threads, sent to workers, changed while they are asked, and of other types than float32."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from support.black_box_files import write_onnx, write_pt2
from support.messages import says_what_to_do
from support.worlds import Identity, IdentityModule, hard, image, seeded, soft
from torch import nn

from abele_py import Abele, compare, load_black_box
from abele_py.black_boxes.black_box import BlackBox
from abele_py.black_boxes.http import HttpClassifier
from abele_py.black_boxes.modules import dtype_of, evaluating
from abele_py.cli.commands import main
from abele_py.errors import BlackBoxError

IMAGES = torch.rand(40, 1, 1, 2, generator=seeded())
THREADS = 8


class Noisy(nn.Module):
    """In training mode its answers are random, and each call changes its statistics."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(16, 3)

    def forward(self, images):
        return self.head(self.body(images))


def together(*functions):
    """What they return, begun at once in a thread each."""
    barrier = Barrier(len(functions))

    def run(function):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


@pytest.mark.slow
@pytest.mark.parametrize("autoencoder", [Identity, IdentityModule], ids=lambda a: a.__name__)
def test_threads_get_what_one_thread_gets_and_the_network_is_left_as_it_was(autoencoder):
    network = Noisy().train()
    network.head.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    explainer = Abele(network, autoencoder(), n_samples=60)
    pixels = [image(0.1 + 0.1 * i, 0.5) for i in range(THREADS)]
    expected = [explainer.explain(x).to_json() for x in pixels]
    assert together(*(lambda x=x: explainer.explain(x).to_json() for x in pixels)) == expected
    assert [m.training for m in network.modules()] == [True] * 6 + [True, False]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_black_boxes_that_share_a_part_protect_it_for_each_other():
    """The mode of a part is restored by the last one out, whoever it is."""
    part = Noisy().train()
    whole = nn.Sequential(part, nn.Softmax(dim=1)).train()
    with evaluating(whole):
        with evaluating(part):
            assert not part.training
        assert not part.training
        assert not part.body[2].training
    assert all(m.training for m in whole.modules())
    first, second = evaluating(whole), evaluating(part)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert whole.training
    assert not part.training
    second.__exit__(None, None, None)
    assert all(m.training for m in whole.modules())
    expected = BlackBox(part)(IMAGES).scores
    before = part.body[2].running_mean.clone()
    boxes = [BlackBox(m) for m in (part, whole) for _ in range(THREADS // 2)]
    found = together(*(lambda b=b: [b(IMAGES).scores for _ in range(20)] for b in boxes))
    for scores in found[: THREADS // 2]:
        assert all(torch.equal(s, expected) for s in scores)
    assert torch.equal(part.body[2].running_mean, before)


@pytest.mark.slow
def test_an_explanation_counts_its_own_images_only():
    explainer = Abele(soft, Identity(), n_samples=100)
    alone = explainer.explain(image(0.6, 0.5)).params["black_box_images"]
    found = together(*(lambda: explainer.explain(image(0.6, 0.5)).params["black_box_images"] for _ in range(THREADS)))
    assert found == [alone] * THREADS


# --- pickles ----------------------------------------------------------------------------------------------------------


def of_estimator(_):
    return LogisticRegression().fit(IMAGES.flatten(1).numpy(), np.where(hard(IMAGES) > 0, "bright", "dark"))


def of_onnx(folder):
    write_onnx(Noisy().eval(), IMAGES[:2], folder / "m.onnx")
    return load_black_box(folder / "m.onnx", mean=0.5).classifier


def of_pt2(folder):
    write_pt2(Noisy().eval(), IMAGES[:2], folder / "m.pt2", torch.export.Dim("n"))
    return load_black_box(folder / "m.pt2").classifier


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [lambda _: soft, lambda _: hard, lambda _: Noisy(), of_estimator, of_onnx, of_pt2],
    ids=["scores", "labels", "module", "estimator", "onnx", "pt2"],
)
def test_an_explainer_can_be_pickled(make, tmp_path):
    explainer = Abele(make(tmp_path), Identity(), n_samples=100)
    again = pickle.loads(pickle.dumps(explainer))
    assert again.class_names == explainer.class_names
    assert again.explain(image(0.6, 0.5)).to_json() == explainer.explain(image(0.6, 0.5)).to_json()


def test_an_endpoint_can_be_pickled():
    again = pickle.loads(pickle.dumps(HttpClassifier("http://127.0.0.1:9/predict", timeout=3)))
    assert (again.url, again.timeout) == ("http://127.0.0.1:9/predict", 3)


# --- programs that end, answers that change ---------------------------------------------------------------------------


def test_a_black_box_that_ends_the_program_is_an_error(tmp_path, monkeypatch, capsys):
    def leaves(x):
        sys.exit()

    with pytest.raises(BlackBoxError, match="SystemExit") as caught:
        BlackBox(leaves)(IMAGES)
    assert says_what_to_do(caught.value)
    (tmp_path / "own_leaving.py").write_text("import sys\nsys.exit()\n")
    (tmp_path / "own_leaving_later.py").write_text("import sys\ndef predict(images):\n    sys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BlackBoxError, match=r"sys\.exit"):
        load_black_box("own_leaving:predict")
    for spec in ("own_leaving:predict", "own_leaving_later:predict"):
        assert main(["explain", "digits:test:7", "--autoencoder", "digits", "--black-box", spec]) == 2
        assert "got" in capsys.readouterr().err or spec.startswith("own_leaving_later")


def test_ctrl_c_passes():
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BlackBox(interrupted)(IMAGES)


@pytest.mark.parametrize("function", [soft, hard])
def test_a_black_box_that_changes_while_it_is_explained_is_an_error(function):
    calls = []

    def drifting(images):
        calls.append(len(images))
        return function(1 - images if drifting.changed and len(calls) > drifting.changed else images)

    drifting.changed = 0
    explainer = Abele(drifting, Identity(), n_samples=100)
    explainer.explain(image(0.6, 0.5))
    drifting.changed = len(calls) + 3
    with pytest.raises(BlackBoxError, match="another answer") as caught:
        explainer.explain(image(0.9, 0.5))
    assert says_what_to_do(caught.value)


# --- types and kinds of object ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_follow_the_type_of_a_module(dtype):
    network = Noisy().eval()
    expected = BlackBox(network)(IMAGES).scores.clone()
    black_box = BlackBox(network.to(dtype))
    found = black_box(IMAGES).scores
    assert found.dtype == torch.float32
    assert dtype_of(network) == dtype
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    e = Abele(network, Identity(), n_samples=60).explain(image(0.6, 0.5))
    assert e.image.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_gradients_of_other_types(dtype):
    pytest.importorskip("captum")
    network = Noisy().eval().to(dtype)
    methods = ["saliency", "integrated-gradients", "meaningful-perturbation"]
    found = compare(image(0.6, 0.5), network, Identity(), methods)
    assert list(found.maps) == methods
    assert all(maps.dtype == torch.float32 for maps in found.maps.values())


def test_gradients_go_through_what_holds_the_scores():
    pytest.importorskip("captum")

    class Held(Noisy):
        def forward(self, images):
            return {"logits": super().forward(images), "loss": None}

    found, plain = (compare(image(0.6, 0.5), n.eval(), Identity(), ["saliency"]) for n in (Held(), Noisy()))
    assert torch.equal(found.maps["saliency"], plain.maps["saliency"])


class Keras:
    """As a model of Keras: it can be called, fitted and asked to predict, and wants the channels last."""

    def fit(self, images, labels):
        return self

    def __call__(self, images):
        if images.shape[-1] != 1:
            raise ValueError(f"expected shape (None, 1, 2, 1), found {tuple(images.shape)}")
        return np.asarray(soft(torch.as_tensor(images).permute(0, 3, 1, 2)))

    predict = __call__


def test_a_model_that_is_called_with_images_and_wants_channels_last():
    with pytest.raises(BlackBoxError, match=r"model\.predict\(images\.permute\(0, 2, 3, 1\)\.numpy\(\)\)") as caught:
        BlackBox(Keras())(IMAGES)
    assert "(40, 1, 1, 2)" in str(caught.value)
    model = Keras()
    found = BlackBox(lambda images: model.predict(images.permute(0, 2, 3, 1).numpy()))(IMAGES)
    assert torch.equal(found.labels, hard(IMAGES))


class Skorch:
    """As a network of skorch: of scikit-learn's kind, but it takes images as its module does."""

    classes_ = np.array(["bright", "dark"])

    def fit(self, images, labels):
        return self

    def get_params(self, deep=True):
        return {}

    def predict_proba(self, images):
        assert images.dtype == np.float32
        if images.ndim != 4:
            raise ValueError(f"expected 4 axes, got {images.ndim}")
        return soft(torch.from_numpy(images)).numpy()[:, ::-1]

    def predict(self, images):
        return self.classes_[self.predict_proba(images).argmax(axis=1)]

    def __call__(self, images):
        raise AssertionError("not asked for scores")


def test_an_estimator_that_takes_images_gets_images():
    black_box = BlackBox(Skorch())
    assert torch.equal(black_box(IMAGES).labels, 1 - hard(IMAGES))
    assert black_box.class_names == ("bright", "dark")


def test_an_estimator_that_takes_neither_names_both():
    class Neither(Skorch):
        def predict_proba(self, images):
            raise ValueError("expected 3 features")

    with pytest.raises(BlackBoxError, match=r"\(40, 2\).*\(40, 1, 1, 2\)"):
        BlackBox(Neither())(IMAGES)


@pytest.mark.parametrize("kind", [Noisy, LogisticRegression])
def test_a_class_is_no_object_of_it(kind):
    with pytest.raises(BlackBoxError, match="call it first") as caught:
        BlackBox(kind)
    assert says_what_to_do(caught.value)
