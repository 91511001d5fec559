"""Black boxes from files: each answers as the model that it was made of; graphs of ONNX, forests of skops."""

import os
import pickle
import re
import sys

import numpy as np
import onnx
import pytest
import skops.io
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from support.black_box_files import COLOURS, Trap, refused, write_onnx, write_pt2
from support.worlds import seeded

from abele_py import BlackBox, load_black_box
from abele_py.datasets.loading import load_split
from abele_py.datasets.records import to_unit
from abele_py.errors import BlackBoxError, MissingExtraError, ParameterError

GREY = torch.rand(7, 1, 4, 5, generator=seeded())


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory, digits_models):
    """The shipped CNN of the digits as .onnx and .pt2, and a forest as .skops; with what each answers."""
    folder, (_, network) = tmp_path_factory.mktemp("files"), digits_models
    write_onnx(network, torch.rand(2, 1, 28, 28), folder / "digits.onnx")
    write_pt2(network, torch.rand(2, 1, 28, 28), folder / "digits.pt2", torch.export.Dim("n"))
    train = load_split("digits", "train")
    forest = RandomForestClassifier(20, random_state=0)
    forest.fit(to_unit(train.images).flatten(1).numpy(), train.labels.numpy())
    skops.io.dump(forest, folder / "digits.skops")
    return {
        folder / "digits.onnx": network,
        folder / "digits.pt2": network,
        folder / "digits.skops": lambda images: torch.from_numpy(forest.predict_proba(images.flatten(1).numpy())),
    }


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".skops"])
def test_a_file_answers_what_its_model_answers(suffix, digit_files, digit_images):
    path, model = next((p, m) for p, m in digit_files.items() if p.suffix == suffix)
    classifier, class_names = load_black_box(path, image_shape=(1, 28, 28))
    answer = BlackBox(classifier)(digit_images)
    torch.testing.assert_close(answer.scores, model(digit_images).float(), rtol=0, atol=1e-5)
    assert class_names == ()
    for batch_size in (1, 7):
        assert torch.equal(BlackBox(classifier, batch_size)(digit_images[:20]).scores, answer.scores[:20])


# --- ONNX -------------------------------------------------------------------------------------------------------------


def write_graph(path, nodes, shape, outputs, dtype=TensorProto.FLOAT, constants=(), inputs=1):
    """An .onnx of the input x, with a batch of any size where its first size is a word."""
    given = [helper.make_tensor_value_info(f"x{i or ''}", dtype, shape) for i in range(inputs)]
    values = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
    graph = helper.make_graph(nodes, "graph", given, outputs, values)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def tensor(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def write_means(path, shape, axes, dtype=TensorProto.FLOAT):
    """An .onnx whose scores are the means over some axes."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=0)]
    return write_graph(path, nodes, shape, [tensor("y", ["n", None], dtype)], dtype)


def test_normalisation_order_of_channels_and_layout(tmp_path):
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.6, 0.7])
    first = write_means(tmp_path / "first.onnx", ["n", 3, 4, 5], [2, 3])
    last = write_means(tmp_path / "last.onnx", ["n", 4, 5, 3], [1, 2])
    means = COLOURS.mean(dim=(2, 3))
    options = {"image_shape": (3, 4, 5), "mean": "0.1, 0.2,0.3", "std": [0.5, 0.6, 0.7]}
    for path, more in ((first, {}), (last, {"channels_last": True})):
        plain = load_black_box(path, image_shape=(3, 4, 5), **more).classifier(COLOURS)
        torch.testing.assert_close(plain, means)
        found = load_black_box(path, **options, **more).classifier(COLOURS)
        torch.testing.assert_close(found, (means - mean) / std)
        found = load_black_box(path, **options, channel_order="bgr", **more).classifier(COLOURS)
        torch.testing.assert_close(found, (means.flip(1) - mean) / std)
        scaled = load_black_box(path, std=1 / 255, **more).classifier(COLOURS)
        torch.testing.assert_close(scaled, means * 255)
    assert "pass --channels-last" in refused(last, image_shape=(3, 4, 5))
    assert "leave out --channels-last" in refused(first, image_shape=(3, 4, 5), channels_last=True)
    assert "(N, 3, 4, 5)" in refused(first, image_shape=(3, 8, 8))
    with pytest.raises(BlackBoxError, match="pass --channels-last"):
        BlackBox(load_black_box(last).classifier)(COLOURS)


@pytest.mark.parametrize(
    "options",
    [
        {"mean": "0.5,0.5"},
        {"mean": "half"},
        {"mean": float("nan")},
        {"std": 0},
        {"std": "-1,1,1"},
        {"mean": "0.1,0.2,0.3", "std": "0.1,0.2"},
        {"channel_order": "gbr"},
    ],
    ids=str,
)
def test_impossible_options_are_refused(options, tmp_path):
    path = write_means(tmp_path / "m.onnx", ["n", 3, 4, 5], [2, 3])
    refused(path, ParameterError, image_shape=(3, 4, 5), **options)
    with pytest.raises(ParameterError, match="colour"):
        load_black_box(path, image_shape=(1, 4, 5), channel_order="bgr")


def test_a_flat_input_and_one_without_channels(tmp_path):
    weights = ("w", np.random.default_rng(0).random((20, 3), dtype=np.float32))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    flat = write_graph(tmp_path / "flat.onnx", nodes, ["n", 20], [tensor("y", ["n", 3])], constants=[weights])
    found = load_black_box(flat, image_shape=(1, 4, 5)).classifier(GREY)
    torch.testing.assert_close(found, GREY.flatten(1) @ torch.from_numpy(weights[1]))
    bare = write_means(tmp_path / "bare.onnx", ["n", 4, 5], [1])
    torch.testing.assert_close(load_black_box(bare, image_shape=(1, 4, 5)).classifier(GREY), GREY[:, 0].mean(dim=1))
    assert "(N, 20)" in refused(flat, image_shape=(3, 4, 5))


def test_types_of_inputs(tmp_path):
    for dtype, name in ((TensorProto.DOUBLE, "double"), (TensorProto.FLOAT16, "half")):
        path = write_means(tmp_path / f"{name}.onnx", ["n", 3, 4, 5], [2, 3], dtype)
        scores = BlackBox(load_black_box(path).classifier)(COLOURS).scores
        torch.testing.assert_close(scores, COLOURS.mean(dim=(2, 3)), atol=2e-3, rtol=0)
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["y"], axes=[2, 3], keepdims=0),
    ]
    path = write_graph(tmp_path / "bytes.onnx", nodes, ["n", 3, 4, 5], [tensor("y", ["n", 3])], TensorProto.UINT8)
    images = (COLOURS * 255).round() / 255
    torch.testing.assert_close(load_black_box(path).classifier(images), images.mean(dim=(2, 3)) * 255)
    assert "8-bit" in refused(path, ParameterError, mean=0.5)
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    whole = [tensor("y", ["n", 3], TensorProto.INT64)]
    assert "x: (int64)" in refused(write_graph(tmp_path / "whole.onnx", nodes, ["n", 3], whole, TensorProto.INT64))


@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_a_fixed_batch_is_filled_and_split(n, tmp_path):
    path = write_means(tmp_path / "fixed.onnx", [4, 3, 4, 5], [2, 3])
    torch.testing.assert_close(load_black_box(path).classifier(COLOURS[:n]), COLOURS[:n].mean(dim=(2, 3)))


def classified(path, probabilities, words=False):
    """What scikit-learn's converter writes: a label, and probabilities as an array or as maps."""
    kind = TensorProto.STRING if words else TensorProto.INT64
    classes = {"classlabels_strings": ["dark", "grey", "pale"]} if words else {"classlabels_int64s": probabilities}
    labels = np.array(["dark", "grey", "pale"] if words else [0, 1, 2])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["p"], axes=[2, 3], keepdims=0),
        helper.make_node("ArgMax", ["p"], ["i"], axis=1, keepdims=0),
        helper.make_node("Gather", ["labels", "i"], ["label"]),
    ]
    output = tensor("p", ["n", 3])
    if probabilities:
        nodes.append(helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", **classes))
        content = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        output = helper.make_value_info("maps", helper.make_sequence_type_proto(content))
    constants = [("labels", labels.astype(object) if words else labels)]
    outputs = [tensor("label", ["n"], kind), output]
    return write_graph(path, nodes, ["n", 3, 4, 5], outputs, constants=constants)


def test_labels_probabilities_and_maps(tmp_path):
    means = COLOURS.mean(dim=(2, 3))
    for i, (maps, words) in enumerate([(None, False), ([0, 1, 2], False), (None, True), ([0], True)]):
        path = classified(tmp_path / f"{i}.onnx", maps, words)
        torch.testing.assert_close(BlackBox(load_black_box(path).classifier)(COLOURS).scores, means)
    assert load_black_box(classified(tmp_path / "from1.onnx", [1, 2, 3])).class_names == ("1", "2", "3")
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["p"], axes=[2, 3], keepdims=0),
        helper.make_node("ArgMax", ["p"], ["label"], axis=1, keepdims=0),
    ]
    only = [tensor("label", ["n"], TensorProto.INT64)]
    path = write_graph(tmp_path / "labels.onnx", nodes, ["n", 3, 4, 5], only)
    answer = BlackBox(load_black_box(path).classifier)(COLOURS)
    assert answer.scores is None
    assert torch.equal(answer.labels, means.argmax(dim=1))


def test_other_graphs_are_refused(tmp_path):
    shape, mean = ["n", 3, 4, 5], helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    two = write_graph(tmp_path / "two.onnx", [helper.make_node("Sum", ["x", "x1"], ["y"])], shape, [tensor("y", shape)])
    assert "cannot load" in refused(two)
    two = write_graph(
        *(tmp_path / "two.onnx", [helper.make_node("Sum", ["x", "x1"], ["y"])], shape, [tensor("y", shape)]), inputs=2
    )
    assert "x1: (float)" in refused(two)
    more = [tensor("y", ["n", 3]), tensor("z", ["n", 3])]
    twice = [mean, helper.make_node("Exp", ["y"], ["z"])]
    assert "z: (float)" in refused(write_graph(tmp_path / "outputs.onnx", twice, shape, more))
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    assert "cannot load" in refused(tmp_path / "bad.onnx")
    assert "no file" in refused(tmp_path / "missing.onnx")
    fewer = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0, 2, 3], keepdims=0)]
    path = write_graph(tmp_path / "fewer.onnx", fewer, shape, [tensor("y", [3])])
    with pytest.raises(BlackBoxError, match="one row for each"):
        BlackBox(load_black_box(path).classifier)(COLOURS)


def test_onnx_takes_as_many_threads_as_torch(tmp_path):
    path = write_means(tmp_path / "m.onnx", ["n", 3, 4, 5], [2, 3])
    session = load_black_box(path).classifier._session
    assert session.get_session_options().intra_op_num_threads == torch.get_num_threads()


@pytest.mark.parametrize(("library", "suffix"), [("onnxruntime", ".onnx"), ("skops", ".skops")])
def test_a_missing_extra_is_named(library, suffix, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, library, None)
    extra = suffix[1:]
    assert f"pip install 'abele_py[{extra}]'" in refused(tmp_path / f"model{suffix}", MissingExtraError)


# --- skops ------------------------------------------------------------------------------------------------------------

ROWS = COLOURS.flatten(1).repeat(6, 1).numpy()
BRIGHT = (ROWS.mean(axis=1) > np.median(ROWS.mean(axis=1))).astype(int)
SCALED = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0))
ESTIMATORS = [SCALED, GradientBoostingClassifier(n_estimators=3), LogisticRegression(), LinearSVC()]
ESTIMATORS += [BaggingClassifier(n_estimators=3, max_features=0.5, random_state=0)]


def dumped(estimator, path):
    skops.io.dump(estimator, path)
    return path


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("words", [False, True])
def test_classifiers_of_numbers_and_of_words(estimator, words, tmp_path):
    estimator.fit(ROWS, np.array(["dark", "bright"])[BRIGHT] if words else BRIGHT)
    classifier, names = load_black_box(dumped(estimator, tmp_path / "m.skops"))
    assert names == (("bright", "dark") if words else ())
    answer = BlackBox(classifier)(COLOURS)
    rows = COLOURS.flatten(1).numpy()
    assert [estimator.classes_[i] for i in answer.labels] == estimator.predict(rows).tolist()
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_allclose(answer.scores, estimator.predict_proba(rows), atol=1e-6)


def test_pixels_are_prepared_for_an_estimator_too(tmp_path):
    estimator = LogisticRegression().fit(ROWS * 255, BRIGHT)
    classifier = load_black_box(dumped(estimator, tmp_path / "m.skops"), std=1 / 255).classifier
    expected = estimator.predict_proba(COLOURS.flatten(1).numpy() * 255)
    np.testing.assert_allclose(BlackBox(classifier)(COLOURS).scores, expected, atol=1e-5)


def test_types_that_skops_does_not_trust_are_named(tmp_path):
    hostile = make_pipeline(FunctionTransformer(os.mkdir), LogisticRegression())
    hostile.steps[1][1].fit(ROWS, BRIGHT)
    text = refused(dumped(hostile, tmp_path / "hostile.skops"))
    assert re.search(r"not trust: \w*\.mkdir", text)
    calibrated = CalibratedClassifierCV(LinearSVC()).fit(ROWS, BRIGHT)
    assert "sklearn.calibration._CalibratedClassifier" in refused(dumped(calibrated, tmp_path / "c.skops"))


def test_what_is_no_classifier_of_skops_is_refused(tmp_path):
    (tmp_path / "renamed.skops").write_bytes(pickle.dumps(Trap(tmp_path / "trapped")))
    assert "cannot load" in refused(tmp_path / "renamed.skops")
    assert not (tmp_path / "trapped").exists()
    (tmp_path / "empty.skops").write_bytes(b"")
    assert "cannot load" in refused(tmp_path / "empty.skops")
    assert "no file" in refused(tmp_path / "missing.skops")
    for number, thing in enumerate([LinearRegression().fit(ROWS, BRIGHT), LogisticRegression(), {"a": 1}]):
        assert "fitted classifier" in refused(dumped(thing, tmp_path / f"{number}.skops"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 10**6), ("right_child", -7), ("feature", 60), ("feature", -5), ("left_child", 0)],
)
@pytest.mark.parametrize("kind", ["forest", "pipeline", "boosting"])
def test_a_tree_that_leads_outside_is_refused_before_it_is_asked(kind, field, value, tmp_path):
    forest = RandomForestClassifier(2, random_state=0)
    boosting = GradientBoostingClassifier(n_estimators=2)
    estimator = {"forest": forest, "pipeline": make_pipeline(StandardScaler(), forest), "boosting": boosting}[kind]
    estimator.fit(ROWS, BRIGHT)
    tree = (boosting.estimators_[1, 0] if kind == "boosting" else forest.estimators_[1]).tree_
    getattr(tree, {"left_child": "children_left", "right_child": "children_right"}.get(field, field))[0] = value
    assert "lead outside" in refused(dumped(estimator, tmp_path / "unsound.skops"))


def test_a_forest_whose_trees_want_more_pixels_is_refused(tmp_path):
    forest = RandomForestClassifier(2, random_state=0).fit(ROWS, BRIGHT)
    forest.estimators_[1] = RandomForestClassifier(1, random_state=0).fit(np.tile(ROWS, 2), BRIGHT).estimators_[0]
    assert "lead outside" in refused(dumped(forest, tmp_path / "mixed.skops"))
    forest.n_features_in_ = 120
    forest.estimators_[0] = forest.estimators_[1]
    forest.estimators_[0].n_features_in_ = forest.estimators_[1].n_features_in_ = 60
    assert "lead outside" in refused(dumped(forest, tmp_path / "mixed.skops"))
