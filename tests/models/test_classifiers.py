"""The shipped kinds of black box: probabilities, shapes, and a forest of arrays that answers as scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from abele_py.errors import ParameterError
from abele_py.models.classifiers import ConvolutionalClassifier, Forest
from abele_py.trees import from_sklearn, leaves


@pytest.fixture(scope="module")
def fitted():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return RandomForestClassifier(100, random_state=0).fit(images[:1000], labels[:1000]), images


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 9, 7)])
@pytest.mark.parametrize("n_classes", [2, 10])
def test_cnn_answers_probabilities(shape, n_classes):
    network = ConvolutionalClassifier(shape, n_classes, channels=(4, 8)).eval()
    images = torch.rand(5, *shape)
    with torch.no_grad():
        scores = network(images)
        assert torch.equal(network(images), scores)
        assert torch.equal(network.logits(images).softmax(dim=1), scores)
    assert scores.shape == (5, n_classes)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(5))
    assert scores.min() >= 0


def test_cnn_config_rebuilds_it():
    network = ConvolutionalClassifier((1, 12, 12), 3, channels=(2, 4), hidden=5, dropout=0.1)
    again = ConvolutionalClassifier(**network.config)
    again.load_state_dict(network.state_dict())
    assert again.config == network.config


def test_cnn_refuses_more_poolings_than_the_image_has():
    with pytest.raises(ParameterError, match="fewer channels"):
        ConvolutionalClassifier((1, 7, 7), 10, channels=(2, 2, 2))


def test_forest_answers_as_scikit_learn(fitted):
    forest, images = fitted
    network = Forest.from_sklearn(forest, (1, 8, 8))
    scores = network(torch.from_numpy(images).view(-1, 1, 8, 8))
    np.testing.assert_allclose(scores.numpy(), forest.predict_proba(images), atol=1e-6)
    assert (scores.argmax(dim=1).numpy() == forest.predict(images)).mean() > 0.999  # ties may fall the other way


def test_forest_config_rebuilds_it(fitted):
    forest, images = fitted
    network = Forest.from_sklearn(forest, (1, 8, 8))
    again = Forest(**network.config)
    again.load_state_dict(network.state_dict())
    batch = torch.from_numpy(images[:20]).view(-1, 1, 8, 8)
    assert torch.equal(network(batch), again(batch))


def test_forest_refuses_labels_that_are_not_0_to_k(fitted):
    forest = RandomForestClassifier(2, random_state=0).fit(np.eye(4), [1, 2, 1, 2])
    with pytest.raises(ParameterError, match="encode the labels"):
        Forest.from_sklearn(forest, (1, 2, 2))


def test_leaves_are_those_of_scikit_learn(fitted):
    forest, images = fitted
    trees = from_sklearn(forest.estimators_)
    found = leaves(trees, torch.from_numpy(images[:300])) - trees.roots
    assert (found.numpy() == forest.apply(images[:300])).all()


def test_equality_with_a_threshold_goes_left(fitted):
    forest, images = fitted
    tree = forest.estimators_[0].tree_
    trees = from_sklearn(forest.estimators_[:1])
    point = images[:1].copy()
    point[0, tree.feature[0]] = np.float32(tree.threshold[0])
    expected = forest.estimators_[0].apply(point)
    assert leaves(trees, torch.from_numpy(point)).numpy() == expected


def test_walking_ends_in_a_damaged_tree_that_runs_in_a_circle(fitted):
    trees = from_sklearn(fitted[0].estimators_[:1])
    circle = trees._replace(left=torch.zeros_like(trees.left), right=torch.zeros_like(trees.right))
    assert leaves(circle, torch.zeros(1, 64)).shape == (1, 1)
