"""The classifier's own classes, numbers or words: every route shows them, and names that do not fit are refused."""

import numpy as np
import onnx
import pytest
import skops.io
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from support.estimators import IMAGES, ROWS, fitted
from support.messages import says_what_to_do
from support.worlds import Identity, hard, image, soft

from abele_py import Abele, load_black_box
from abele_py.black_boxes.black_box import BlackBox
from abele_py.errors import BlackBoxError, ParameterError, UnknownNameError


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
