"""What classifiers return: whose class each column is, whether scores are probabilities, and what holds the scores."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import skops.io
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from support.messages import says_what_to_do
from support.worlds import Identity, hard, image, quarters, seeded, soft
from torch import nn

from abele_py import Abele, load_black_box
from abele_py.black_boxes.black_box import BlackBox
from abele_py.black_boxes.outputs import probabilities, scale_of
from abele_py.errors import BlackBoxError, ParameterError, UnknownNameError

IMAGES = torch.rand(9, 1, 1, 2, generator=seeded())
ROWS = torch.rand(200, 2, generator=seeded(1)).numpy()
QUARTERS = quarters(torch.from_numpy(ROWS).reshape(-1, 1, 1, 2)).numpy()


def fitted(classes, estimator=None):
    """On quarters of the square, called as the classes are."""
    labels = np.array(list(classes))[QUARTERS % len(classes)]
    return (estimator or GaussianNB()).fit(ROWS, labels)


def write_linear(path, model, form):
    """What skl2onnx writes of a logistic regression: maps, an array (``zipmap=False``), or labels alone."""
    words = model.classes_.dtype.kind == "U"
    listed = model.classes_.tolist()
    classes = {"classlabels_strings" if words else "classlabels_ints": listed}
    weights, offsets = model.coef_, model.intercept_
    if len(listed) == 2:
        weights, offsets = np.concatenate([-weights, weights]), np.concatenate([-offsets, offsets])
    nodes = [
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", post_transform="SOFTMAX",
            coefficients=weights.ravel().tolist(), intercepts=offsets.tolist(), **classes,
        )
    ]  # fmt: skip
    kind = TensorProto.STRING if words else TensorProto.INT64
    outputs = [helper.make_tensor_value_info("label", kind, ["n"])]
    if form == "maps":
        keys = {"classlabels_strings" if words else "classlabels_int64s": listed}
        nodes.append(helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", **keys))
        content = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        outputs.append(helper.make_value_info("maps", helper.make_sequence_type_proto(content)))
    elif form == "array":
        outputs.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", len(listed)]))
    return _saved(path, nodes, outputs)


def write_gathered(path, classes, scores=True):
    """What skl2onnx writes of other kinds: scores, and their largest column looked up among the classes."""
    words = isinstance(classes[0], str)
    kind = TensorProto.STRING if words else TensorProto.INT64
    weights = np.random.default_rng(0).normal(size=(2, len(classes))).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("ArgMax", ["p"], ["i"], axis=1, keepdims=0),
        helper.make_node("Gather", ["classes", "i"], ["label"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array(classes, object if words else np.int64), "classes"),
        numpy_helper.from_array(np.arange(len(classes))[::-1].copy(), "unused"),  # another list of that length
    ]
    outputs = [
        helper.make_tensor_value_info("label", kind, ["n"]),
        helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", len(classes)]),
    ][: 1 + scores]
    return _saved(path, nodes, outputs, constants)


def _saved(path, nodes, outputs, constants=()):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "graph", [x], outputs, list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


CLASSES = st.one_of(
    st.lists(st.integers(-50, 50), min_size=2, max_size=4, unique=True),
    st.lists(st.text("abcdeäß 01", min_size=1, max_size=4), min_size=2, max_size=4, unique=True),
    st.just([1, 2, 3, 4]),
    st.just([1, 4, 7]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(classes=CLASSES)
def test_every_route_shows_the_classifier_s_own_classes(classes, tmp_path):
    """An estimator, its .skops, its .onnx in three forms, and functions: the same names of the same images."""
    model = fitted(classes, LogisticRegression())
    rows = IMAGES.flatten(1).numpy()
    expected = [str(c) for c in model.predict(rows).tolist()]
    skops.io.dump(model, tmp_path / "m.skops")

    def with_scores(x):
        return model.predict_proba(x.flatten(1).numpy())

    def with_labels(x):
        return model.predict(x.flatten(1).numpy())

    with_scores.classes_ = with_labels.classes_ = model.classes_
    routes = {
        "estimator": model,
        "skops": load_black_box(tmp_path / "m.skops").classifier,
        "scores": with_scores,
        "labels": with_labels,
        "pair": lambda x: [model.predict(x.flatten(1).numpy()), with_scores(x)],
        **{
            form: load_black_box(write_linear(tmp_path / f"{form}.onnx", model, form)).classifier
            for form in ("maps", "array", "only labels")
        },
    }
    routes["pair"] = type("Pair", (), {"__call__": staticmethod(routes["pair"]), "classes_": model.classes_})()
    for route, classifier in routes.items():
        black_box = BlackBox(classifier)
        labels = black_box(IMAGES).labels.tolist()
        names = black_box.class_names or tuple(map(str, range(len(classes))))
        assert names == tuple(str(c) for c in model.classes_.tolist()), route
        assert [names[y] for y in labels] == expected, route


def test_truths_are_classes_too():
    model = fitted([False, True])
    assert BlackBox(model).class_names == ()
    black_box = BlackBox(model)
    black_box(IMAGES)
    assert black_box.class_names == ("False", "True")
    labels = BlackBox(type("Truths", (), {"__call__": lambda _, x: hard(x) > 0, "classes_": [False, True]})())
    assert torch.equal(labels(IMAGES).labels, hard(IMAGES))


@pytest.mark.parametrize("classes", [[0, 1, 2], [1, 4, 7], [-1, 0, 5], ["dark", "grey", "pale"], [3, 1, 2]])
def test_classes_in_a_file_are_found_by_the_labels_beside_the_scores(classes, tmp_path):
    path = write_gathered(tmp_path / "g.onnx", classes)
    loaded = load_black_box(path, image_shape=(1, 1, 2))
    assert loaded.class_names == (() if classes == [0, 1, 2] else tuple(map(str, classes)))
    black_box = BlackBox(loaded.classifier)
    label = black_box(IMAGES).labels.tolist()
    own = loaded.classifier._session.run(["label"], {"x": IMAGES.flatten(1).numpy()})[0].tolist()
    assert [classes[y] for y in label] == own


def test_labels_of_a_file_that_stand_alone(tmp_path):
    """Words by the only list of words in it; numbers as they are."""
    words = load_black_box(write_gathered(tmp_path / "w.onnx", ["dark", "grey", "pale"], scores=False))
    assert words.class_names == ("dark", "grey", "pale")
    numbers = load_black_box(write_gathered(tmp_path / "n.onnx", [1, 4, 7], scores=False))
    assert numbers.class_names == ()
    found = [BlackBox(loaded.classifier)(IMAGES).labels for loaded in (words, numbers)]
    assert [[1, 4, 7][y] for y in found[0].tolist()] == found[1].tolist()


def test_an_onnx_file_whose_classes_are_nowhere_is_refused(tmp_path):
    """Labels that are computed: 10 times the column."""
    nodes = [
        helper.make_node("Identity", ["x"], ["p"]),
        helper.make_node("ArgMax", ["p"], ["i"], axis=1, keepdims=0),
        helper.make_node("Mul", ["i", "ten"], ["label"]),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 2]),
    ]
    path = _saved(tmp_path / "t.onnx", nodes, outputs, [numpy_helper.from_array(np.array(10), "ten")])
    with pytest.raises(BlackBoxError, match="list of its classes") as caught:
        BlackBox(load_black_box(path).classifier)(torch.tensor([[0.1, 0.9], [0.9, 0.1]]).reshape(2, 1, 1, 2))
    assert says_what_to_do(caught.value)


def test_ten_names_of_the_classes_1_to_10_fit():
    labels = np.arange(200) % 10 + 1
    model = make_pipeline(StandardScaler(), LinearSVC()).fit(ROWS, labels)
    names = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    own = BlackBox(model)
    column = int(own(IMAGES).labels[0])
    assert own.class_names[column] == str(model.predict(IMAGES.flatten(1).numpy())[0]) == str(column + 1)
    numbered = dict(zip(range(1, 11), names, strict=True))
    for given_names in (names, numbered, {str(number): name for number, name in numbered.items()}):
        black_box = BlackBox(model, class_names=given_names)
        assert int(black_box(IMAGES).labels[0]) == column
        assert black_box.class_names == names
    with pytest.raises(ParameterError, match="names for the classes") as caught:
        Abele(model, Identity(), class_names=dict(enumerate(names)))
    assert says_what_to_do(caught.value)


def test_an_explanation_and_its_target_speak_of_the_classifier_s_classes():
    explainer = Abele(fitted([1, 4, 7]), Identity(), n_samples=100)
    assert explainer.class_names == ("1", "4", "7")
    e = explainer.explain(image(0.2, 0.9))
    assert e.name(e.label) == "4"
    for target in (7, "7", np.int64(7)):
        found = explainer.explain(image(0.2, 0.9), target)
        assert [found.name(y) for y in found.counter_exemplars.labels.tolist()] == ["7"]
    for target in (0, 2, "0", 3, -1):
        with pytest.raises(UnknownNameError, match="one of: 1, 4, 7"):
            explainer.explain(image(0.2, 0.9), target)


def test_unknown_numbers_are_shown_as_they_are():
    e = Abele(lambda x: hard(x) * 3 + 4, Identity(), n_samples=100).explain(image(0.6, 0.5))
    assert e.name(e.label) == "7"
    assert [e.name(y) for y in e.counter_exemplars.labels.tolist()] == ["4"]
    named = Abele(lambda x: hard(x) * 3 + 4, Identity(), n_samples=100, class_names={4: "dark", 7: "bright"})
    assert named.explain(image(0.6, 0.5)).name(7) == "bright"


def test_words_of_a_function_are_read_by_the_names_given():
    words = np.array(["dark", "bright"])
    explainer = Abele(lambda x: words[hard(x).numpy()], Identity(), n_samples=100, class_names=("bright", "dark"))
    e = explainer.explain(image(0.6, 0.5))
    assert (e.label, e.name(e.label)) == (0, "bright")
    with pytest.raises(BlackBoxError, match="class_names"):
        Abele(lambda x: words[hard(x).numpy()], Identity())
    with pytest.raises(BlackBoxError, match="one of its classes"):
        Abele(lambda x: words[hard(x).numpy()], Identity(), class_names=("bright", "dim"))


@pytest.mark.parametrize(
    ("black_box", "names"),
    [
        (soft, ("a", "b", "c")),
        (soft, {0: "a", 2: "b"}),
        (soft, "cat"),
        (soft, "abc"),
        (soft, {"a", "b"}),
        (soft, 2),
        (lambda x: hard(x) + 1, ("a", "b")),
        (fitted([1, 4, 7]), {1: "a", 5: "b"}),
    ],
)
def test_names_that_do_not_fit_are_refused(black_box, names):
    with pytest.raises(ParameterError) as caught:
        Abele(black_box, Identity(), class_names=names)
    assert says_what_to_do(caught.value), caught.value


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
