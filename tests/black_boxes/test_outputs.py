"""What classifiers return: whether scores are probabilities, what the label is, and what holds the scores."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from support.estimators import IMAGES, QUARTERS, ROWS, fitted
from support.messages import says_what_to_do
from support.worlds import Identity, hard, image, seeded, soft
from torch import nn

from abele_py import Abele
from abele_py.black_boxes.black_box import BlackBox
from abele_py.black_boxes.outputs import probabilities, scale_of
from abele_py.errors import BlackBoxError, ParameterError

# --- scores or probabilities ------------------------------------------------------------------------------------------


def shares(k, n=64, seed=0):
    return torch.randn(n, k, generator=seeded(seed)).mul(2).softmax(dim=1)


ROUNDED = {
    "2 decimals": lambda p: (p * 100).round() / 100,
    "3 decimals": lambda p: (p * 1000).round() / 1000,
    "bfloat16": lambda p: p.bfloat16(),
    "float16": lambda p: p.half(),
    "float64": lambda p: p.double(),
    "uint8": lambda p: (p * 255).round().to(torch.uint8),
    "per cent": lambda p: (p * 100).round(),
    "votes of 500": lambda p: ((p * 500).floor() + torch.nn.functional.one_hot(p.argmax(1), p.shape[1]) * (
        500 - (p * 500).floor().sum(dim=1, keepdim=True))).long(),
}  # fmt: skip


@pytest.mark.parametrize("rounding", ROUNDED.values(), ids=ROUNDED.keys())
@pytest.mark.parametrize("k", [2, 3, 10, 30])
def test_rounded_probabilities_stay_probabilities(rounding, k):
    p = shares(k)
    rows = iter([rounding(p), rounding(shares(k, seed=1))])
    black_box = BlackBox(lambda x: next(rows))
    answer = black_box(torch.zeros(64, 1, 1, 2))
    assert black_box.scale == black_box.answers == "probabilities"
    found = torch.stack([answer.probability(y) for y in range(k)], dim=1)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(64))
    top = p.argmax(dim=1, keepdim=True)
    assert float((found.gather(1, top) - p.gather(1, top)).abs().max()) < (0.02 if k < 10 else 0.1)
    again = black_box(torch.zeros(64, 1, 1, 2)).probability(0)
    assert float((again - shares(k, seed=1)[:, 0]).abs().max()) < 0.1


@pytest.mark.parametrize("k", [2, 3, 10])
def test_logits_get_a_softmax_even_where_a_row_looks_like_a_distribution(k):
    logits = torch.randn(64, k, generator=seeded())
    logits[5] = 1 / k
    black_box = BlackBox(lambda x: logits[: len(x)])
    answer = black_box(torch.zeros(64, 1, 1, 2))
    assert black_box.scale == "scores"
    torch.testing.assert_close(answer.probability(0), logits.softmax(dim=1)[:, 0])
    torch.testing.assert_close(black_box(torch.zeros(6, 1, 1, 2)).probability(0), logits[:6].softmax(dim=1)[:, 0])


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 40), st.integers(0, 1000), st.sampled_from(list(ROUNDED)))
def test_the_decision_is_the_same_for_all_rows_and_any_rounding(k, seed, name):
    values = ROUNDED[name](shares(k, 16, seed))
    assert scale_of(values.float(), not values.is_floating_point()) == "probabilities"
    logits = torch.randn(16, k, generator=seeded(seed)) * 3
    assert scale_of(logits) == "scores"
    for scores in (values.float(), logits):
        found = probabilities(scores).gather(1, scores.argsort(dim=1))
        assert bool((found.diff(dim=1) >= 0).all()), "no row changes its order"


def test_what_contradicts_the_decision_is_an_error_and_no_silent_softmax():
    rows = iter([torch.tensor([[0.2, 0.8], [0.5, 0.5]]), torch.tensor([[-3.0, 5.0]]), torch.tensor([[0.0, 0.0]])])
    black_box = BlackBox(lambda x: next(rows))
    black_box(IMAGES[:2])
    for _ in range(2):
        with pytest.raises(BlackBoxError, match="probabilities before") as caught:
            black_box(IMAGES[:1])
        assert says_what_to_do(caught.value)


def test_an_explanation_says_how_scores_are_read_and_shows_probabilities():
    logits = lambda x: (soft(x) * 8) - 4  # noqa: E731
    e = Abele(logits, Identity(), n_samples=100).explain(image(0.6, 0.5))
    assert e.params["black_box_answers"] == "scores"
    p = float(e.scores.softmax(dim=0)[1])
    assert f"(probability {p:.3f}, score {float(e.scores[1]):.3f})" in str(e)
    assert f"score is {float(e.scores[1]):.2f})" in e.to_html()
    for black_box, answers in ((soft, "probabilities"), (hard, "labels")):
        e = Abele(black_box, Identity(), n_samples=100).explain(image(0.6, 0.5))
        assert e.params["black_box_answers"] == answers


def test_rounded_and_exact_probabilities_give_the_same_map():
    exact = Abele(soft, Identity(), n_samples=100).explain(image(0.6, 0.5))
    for rounding in ("2 decimals", "bfloat16", "uint8"):
        rounded = Abele(lambda x, r=rounding: ROUNDED[r](soft(x)), Identity(), n_samples=100).explain(image(0.6, 0.5))
        torch.testing.assert_close(rounded.saliency, exact.saliency, atol=0.03, rtol=0)


# --- decision functions -----------------------------------------------------------------------------------------------

DECIDING = {
    "SVC": lambda: SVC(),
    "SVC one against one": lambda: SVC(decision_function_shape="ovo"),
    "pipeline": lambda: make_pipeline(StandardScaler(), SVC()),
    "search": lambda: GridSearchCV(SVC(), {"C": [1.0]}, cv=2),
    "search one against one": lambda: GridSearchCV(SVC(), {"decision_function_shape": ["ovo"]}, cv=2),
    "hinge": lambda: SGDClassifier(random_state=0),
    "linear": lambda: LinearSVC(),
    "neighbors": lambda: KNeighborsClassifier(),
}


@pytest.mark.parametrize("classes", [[0, 1], [5, 9], ["a", "b", "c"]], ids=str)
@pytest.mark.parametrize("name", DECIDING)
def test_labels_are_those_of_predict_with_scores_where_there_are_some(name, classes):
    model = fitted(classes, DECIDING[name]())
    black_box = BlackBox(model)
    answer = black_box(IMAGES)
    assert [model.classes_[y] for y in answer.labels.tolist()] == model.predict(IMAGES.flatten(1).numpy()).tolist()
    pairs_only = "one against one" in name and len(classes) > 2
    assert (answer.scores is None) == pairs_only
    if len(classes) == 2 and name != "neighbors":
        d = model.decision_function(IMAGES.flatten(1).numpy())
        np.testing.assert_allclose(answer.probability(1), 1 / (1 + np.exp(-d)), rtol=1e-4)


def test_an_estimator_with_several_outputs_is_refused():
    model = RandomForestClassifier(2).fit(ROWS, np.stack([QUARTERS, QUARTERS], axis=1))
    with pytest.raises(BlackBoxError, match="2 outputs") as caught:
        BlackBox(model)(IMAGES)
    assert says_what_to_do(caught.value)


# --- what holds the scores --------------------------------------------------------------------------------------------

Record = namedtuple("Record", "logits aux")  # as torchvision's GoogLeNet returns in training
HELD = {
    "tuple": lambda s: (s, s[:, :1]),
    "list": lambda s: [s, torch.zeros(len(s), 5)],
    "nested": lambda s: ((s, 1), 2),
    "logits": lambda s: {"loss": None, "logits": s},
    "scores": lambda s: {"scores": s.numpy(), "boxes": []},
    "one value": lambda s: {"out": s},
    "named tuple": lambda s: Record(s, None),
    "object": lambda s: SimpleNamespace(logits=s, hidden_states=None),
    "lists": lambda s: s.tolist(),
    "tuple of lists": lambda s: tuple(map(tuple, s.tolist())),
    "a tensor for each": lambda s: list(s),
    "an array for each": lambda s: list(s.numpy()),
    "a map for each": lambda s: [dict(enumerate(row)) for row in s.tolist()],
    "labels and scores": lambda s: [s.argmax(dim=1).numpy(), s.numpy()],
    "labels and maps": lambda s: [s.argmax(dim=1).numpy(), [dict(enumerate(row)) for row in s.tolist()]],
}


class Net(nn.Module):
    def __init__(self, hold=lambda s: s):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
        self.hold = hold

    def forward(self, images):
        return self.hold(self.layers(images))


@pytest.mark.parametrize("n", [1, 2, 9, 16])
@pytest.mark.parametrize("hold", HELD.values(), ids=HELD.keys())
def test_scores_are_found_in_what_holds_them(hold, n):
    expected = BlackBox(Net())(IMAGES.repeat(2, 1, 1, 1)[:n]).scores
    images = IMAGES.repeat(2, 1, 1, 1)[:n]
    assert torch.equal(BlackBox(Net(hold))(images).scores, expected)
    found = BlackBox(lambda x: hold(Net().eval()(x).detach()))(images).scores
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: torch.rand(len(x)), ["(1 - p, p)"]),
        (lambda x: np.full(len(x), 0.25, np.float32), ["(1 - p, p)"]),
        (lambda x: torch.rand(len(x), 1), ["(1 - p, p)"]),
        (lambda x: x[:, 0, 0, 0] * 9 - 4.2, ["(1 - p, p)", "logits"]),
        (lambda x: (x[:, 0, 0, 0] * 9).round(), ["labels.astype(int)"]),
        (lambda x: torch.ones(len(x), 1, dtype=torch.int64), ["labels[:, 0]"]),
        (lambda x: {"hidden": x, "loss": 1}, ["'hidden'", "logits"]),
        (lambda x: soft(x).squeeze() if len(x) == 1 else soft(x), ["squeeze"]),
        (lambda x: torch.zeros(len(x), 2, dtype=torch.complex64), ["complex"]),
        (lambda x: [["a", "b"]] * len(x), ["words"]),
    ],
)
def test_what_is_no_answer_is_named_with_a_way_out(answer, words):
    with pytest.raises(BlackBoxError) as caught:
        BlackBox(answer).probe(IMAGES)
    assert says_what_to_do(caught.value), caught.value
    assert all(word in str(caught.value) for word in words), caught.value
    assert "astype(int)" not in str(caught.value) or "labels" in words[0]


ANYTHING = st.recursive(
    st.none()
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=3)
    | st.builds(object)
    | st.builds(
        lambda shape, dtype: np.zeros(shape).astype(dtype),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from(["f2", ">f4", "f8", "longdouble", "u1", "u8", ">i4", "?", "U2", "S2", "O", "c8", "M8[D]"]),
    )
    | st.builds(
        lambda shape, dtype: torch.zeros(shape, dtype=dtype),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from([torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.complex64, torch.uint8]),
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.sampled_from(["logits", "scores", "labels", "a", 1, 4]), inner, max_size=3)
        | inner.map(lambda value: SimpleNamespace(logits=value))
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING, st.integers(1, 3), st.sampled_from([(), ("a", "b"), {1: "a", 4: "b"}]))
def test_whatever_is_returned_is_an_answer_or_an_error_that_says_what_to_do(raw, n, names):
    black_box = BlackBox(lambda x: raw, class_names=names)
    refusal = None
    try:
        answer = black_box(IMAGES[:n])
    except (BlackBoxError, ParameterError) as error:
        refusal = error
    if refusal is not None:
        assert says_what_to_do(refusal), refusal
    else:
        assert answer.labels.shape == (n,)
        assert int(answer.labels.min()) >= 0
        assert answer.scores is None or answer.scores.shape == (n, black_box.n_classes)


def test_a_filled_batch_is_explained():
    for module, words in (
        (Net(lambda s: s.mean(dim=0)), "16 images (3, filled up to a multiple of 16"),
        (nn.Linear(7, 2), "shape (16, 1, 1, 2) in [0, 1], 16 images (3, filled up"),
    ):
        with pytest.raises(BlackBoxError) as caught:
            BlackBox(module)(IMAGES[:3])
        assert words in str(caught.value)


class Endless:
    """A sequence that says it has billions of items, as a ``range`` can: unpacked, they would fill the memory."""

    def __init__(self):
        self.read = 0

    def __len__(self):
        return 10**9

    def __getitem__(self, place):
        self.read += 1
        if self.read > 100:
            raise MemoryError
        return place


def test_objects_in_an_array_are_not_unpacked():
    """Found by `make fuzz`: of an array of objects one was a long range, and the process was killed for its memory."""
    endless, answer = Endless(), np.empty(2, object)
    answer[:] = [endless, endless]
    with pytest.raises(BlackBoxError, match=r"got an answer of shape \(2,\)"):
        BlackBox(lambda images: answer)(torch.zeros(2, 1, 1, 2))
    assert endless.read == 0
    answer[:] = [np.int64(3), torch.tensor(1)]  # numbers are read
    assert BlackBox(lambda images: answer)(torch.zeros(2, 1, 1, 2)).labels.tolist() == [3, 1]
