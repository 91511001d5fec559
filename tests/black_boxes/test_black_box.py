"""The black box: every wrong answer gets a clear error, batches stay bounded, and a module is left as it was found."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.svm import LinearSVC
from support.messages import says_what_to_do
from support.worlds import Counting, Identity, hard, image, seeded, soft
from torch import nn

from abele_py import Abele
from abele_py.black_boxes.black_box import Answer, BlackBox, device_of, probabilities
from abele_py.errors import AbeleError, BlackBoxError, ParameterError

IMAGES = torch.rand(7, 1, 1, 2, generator=seeded())


def raising(images):
    raise ZeroDivisionError("no classes today")


WRONG = {
    "too few answers": lambda x: torch.zeros(len(x) - 1, dtype=torch.int64),
    "one answer for all": lambda x: torch.tensor([0.1, 0.9]),
    "a number": lambda x: 3,
    "three dimensions": lambda x: torch.zeros(len(x), 2, 2),
    "float labels": lambda x: torch.zeros(len(x)),
    "NaN labels": lambda x: torch.full((len(x),), torch.nan),
    "bool labels": lambda x: x[:, 0, 0, 0] > 0.3,
    "negative labels": lambda x: torch.full((len(x),), -1),
    "NaN scores": lambda x: torch.full((len(x), 3), torch.nan),
    "infinite scores": lambda x: torch.tensor([[0.0, torch.inf]]).repeat(len(x), 1),
    "one class only": lambda x: torch.ones(len(x), 1),
    "nothing": lambda x: None,
    "words": lambda x: ["cat"] * len(x),
    "a dictionary of who knows what": lambda x: {"features": torch.zeros(len(x), 2), "loss": torch.zeros(len(x))},
    "ragged scores": lambda x: [[0.5, 0.5], [1.0]] * len(x),
    "a tuple of outputs of another shape": lambda x: (torch.zeros(len(x), 2, 3), torch.zeros(len(x), 5)),
    "an exception": raising,
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_is_an_error_that_says_got_expected_and_what_to_do(answer):
    with pytest.raises(BlackBoxError) as caught:
        BlackBox(answer)(IMAGES)
    assert says_what_to_do(caught.value), caught.value
    assert isinstance(caught.value, (AbeleError, TypeError))
    with pytest.raises(BlackBoxError):
        Abele(answer, Identity())


def test_the_exception_of_the_black_box_is_kept_as_the_cause():
    with pytest.raises(BlackBoxError, match="ZeroDivisionError: no classes today") as caught:
        BlackBox(raising)(IMAGES)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("thing", [None, 3, "mnist-cnn", torch.rand(2)])
def test_what_cannot_be_called_is_refused_at_once(thing):
    with pytest.raises(BlackBoxError) as caught:
        BlackBox(thing)
    assert says_what_to_do(caught.value)


def test_another_answer_for_the_same_image_is_found_by_the_probe():
    noise = seeded()
    random_scores = BlackBox(lambda x: torch.rand(len(x), 3, generator=noise))
    with pytest.raises(BlackBoxError, match="different answers") as caught:
        random_scores.probe(IMAGES[:2])
    assert says_what_to_do(caught.value)
    with pytest.raises(BlackBoxError, match="different answers"):
        Abele(lambda x: torch.rand(len(x), 3, generator=noise), Identity())


@pytest.mark.parametrize(
    "function", [lambda x: soft(x - x.mean(dim=0)), lambda x: torch.arange(len(x)).flip(0)], ids=["scores", "labels"]
)
def test_a_black_box_that_looks_at_the_whole_batch_is_found_by_the_probe(function):
    with pytest.raises(BlackBoxError, match="whole batch"):
        BlackBox(function).probe(IMAGES[:2])


def test_two_forms_of_answers_are_an_error():
    answers = iter([torch.zeros(7, dtype=torch.int64), torch.zeros(7, 3), torch.zeros(7, 3), torch.zeros(7, 4)])
    black_box = BlackBox(lambda x: next(answers))
    black_box(IMAGES)
    with pytest.raises(BlackBoxError, match="3 classes") as caught:
        black_box(IMAGES)
    assert says_what_to_do(caught.value)


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: y,
        lambda y: y.numpy(),
        lambda y: y.tolist(),
        lambda y: y.numpy().astype(np.uint8),
        lambda y: y.to(torch.int32),
        lambda y: y.clone().numpy()[::-1][::-1],
    ],
    ids=["tensor", "array", "list", "uint8", "int32", "view"],
)
def test_labels_may_be_any_kind_of_integers(convert):
    answer = BlackBox(lambda x: convert(hard(x)))(IMAGES)
    assert answer.scores is None
    assert answer.labels.dtype == torch.int64
    assert torch.equal(answer.labels, hard(IMAGES))


def test_a_flipped_array_is_an_answer_like_any_other():
    answer = BlackBox(lambda x: soft(x).numpy()[:, ::-1])(IMAGES)
    assert torch.equal(answer.labels, 1 - hard(IMAGES))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_scores_become_float32_and_their_largest_the_label(dtype):
    answer = BlackBox(lambda x: soft(x).to(dtype))(IMAGES)
    assert answer.scores.dtype == torch.float32
    assert torch.equal(answer.labels, answer.scores.argmax(dim=1))


def test_scores_become_probabilities_in_one_way_for_all_rows():
    shares = torch.tensor([[0.2, 0.8], [0.0, 1.0], [0.2005, 0.8]])
    logits = torch.tensor([[0.2, 0.9], [-0.5, 1.5], [0.2, 0.8], [3.0, -40.0]])
    for scores, expected in ((shares, shares / shares.sum(dim=1, keepdim=True)), (logits, logits.softmax(dim=1))):
        answer = Answer(torch.zeros(len(scores), dtype=torch.int64), scores)
        assert torch.equal(probabilities(scores), expected)
        for label in (0, 1):
            assert torch.equal(answer.probability(label), expected[:, label])
            assert torch.equal(answer.evidence(label), scores[:, label])
        assert answer.probability(0).dtype == torch.float32
    assert Answer(torch.zeros(1), torch.tensor([[0.0, 1.0005]])).probability(1).tolist() == [1]


@given(arrays("float32", (3, 4), elements=st.floats(-1e4, 1e4, width=32)))
def test_probabilities_are_distributions_that_stay_what_they_are(values):
    found = probabilities(torch.from_numpy(values))
    assert float(found.min()) >= 0
    assert float((found.sum(dim=1) - 1).abs().max()) < 1e-6
    torch.testing.assert_close(probabilities(found), found)


def test_the_probability_of_a_black_box_of_labels_is_1_or_0():
    answer = BlackBox(hard)(IMAGES)
    assert torch.equal(answer.probability(1), hard(IMAGES).float())
    assert torch.equal(answer.probability(0), 1 - hard(IMAGES).float())


def test_gradients_flow_through_probabilities():
    scores = torch.tensor([[0.2, 0.8], [2.0, -1.0]], requires_grad=True)
    gradient = torch.autograd.grad(probabilities(scores)[1, 0], scores)[0]
    p = float(torch.tensor([2.0, -1.0]).softmax(dim=0)[0])
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0], [p * (1 - p), -p * (1 - p)]]))
    gradient = torch.autograd.grad(probabilities(scores[:1])[0, 0], scores)[0]  # of p / (p + q)
    torch.testing.assert_close(gradient, torch.tensor([[0.8, -0.2], [0.0, 0.0]]))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_no_batch_is_larger_than_asked_and_none_is_empty(batch_size):
    counting = Counting()
    answer = BlackBox(counting, batch_size)(IMAGES)
    assert torch.equal(answer.labels, hard(IMAGES))
    assert sum(counting.batches) == 7
    assert max(counting.batches) == min(batch_size, 7)
    assert min(counting.batches) >= 1


def test_calls_and_images_are_counted_and_no_images_cost_no_call():
    counting = Counting(soft)
    black_box = BlackBox(counting, 3)
    black_box(IMAGES)
    empty = black_box(IMAGES[:0])
    assert (black_box.calls, black_box.images) == (3, 7)
    assert counting.batches == [3, 3, 1]
    assert empty.labels.shape == (0,)
    assert empty.scores.shape == (0, 2)
    assert black_box.n_classes == 2


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"batch_size": -1}, {"n_samples": 0}, {"n_samples": 9}])
def test_sizes_of_zero_are_refused(option):
    with pytest.raises(ParameterError, match="expected at least"):
        Abele(hard, Identity(), **option)


def test_a_black_box_that_writes_into_its_input_changes_nothing_of_ours():
    images = IMAGES.clone()

    def in_place(x):
        x.sub_(0.5).div_(0.5)
        return (x[:, 0, 0, 0] > 0).long()

    BlackBox(in_place)(images)
    assert torch.equal(images, IMAGES)


class Net(nn.Module):
    """A classifier with everything that can be left in another state: submodules of both modes, buffers, gradients."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU())
        self.head = nn.Linear(8, 3)
        self.fails = False
        self.body[2].eval()
        self.head.bias.requires_grad_(False)
        self.head(torch.ones(1, 8)).sum().backward()
        self.hooked = []
        self.head.register_forward_hook(lambda module, x, y: self.hooked.append(len(y)))

    def forward(self, images):
        if self.fails:
            raise RuntimeError("out of memory")
        return self.head(self.body(images))


def state_of(net):
    return {
        "modes": [m.training for m in net.modules()],
        "tensors": [t.clone() for t in net.state_dict().values()],
        "grads": [None if p.grad is None else p.grad.clone() for p in net.parameters()],
        "requires_grad": [p.requires_grad for p in net.parameters()],
        "device": {p.device for p in net.parameters()},
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()],
        "grad mode": torch.is_grad_enabled(),
    }


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def test_a_module_is_left_as_it_was_found():
    net = Net()
    before = state_of(net)
    Abele(net, Identity(), n_samples=50).explain(image(0.6, 0.5))
    after = state_of(net)
    for name in before:
        assert equal(before[name], after[name]), name
    assert net.hooked, "the user's own hooks still run"


def test_a_module_is_left_as_it_was_found_after_an_exception():
    net = Net()
    net.fails = True
    before = state_of(net)
    with pytest.raises(BlackBoxError, match="out of memory"):
        BlackBox(net)(IMAGES)
    after = state_of(net)
    for name in before:
        assert equal(before[name], after[name]), name


def test_a_module_answers_in_evaluation_mode_without_gradients():
    net = Net()
    answer = BlackBox(net)(IMAGES)
    assert not answer.scores.requires_grad
    net.eval()
    torch.testing.assert_close(answer.scores, net(IMAGES).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 7])
def test_the_scores_of_a_module_do_not_depend_on_the_batch(batch_size):
    net = Net()
    assert torch.equal(BlackBox(net, batch_size)(IMAGES).scores, BlackBox(net, 256)(IMAGES).scores)


ROWS, LABELS = IMAGES.repeat(6, 1, 1, 1).flatten(1).numpy(), hard(IMAGES.repeat(6, 1, 1, 1)).numpy()


def test_a_forest_gives_its_probabilities():
    forest = RandomForestClassifier(5, random_state=0).fit(ROWS, LABELS)
    answer = BlackBox(forest)(IMAGES)
    np.testing.assert_allclose(answer.scores, forest.predict_proba(IMAGES.flatten(1).numpy()), atol=1e-6)


@pytest.mark.parametrize("estimator", [RidgeClassifier(), LinearSVC()], ids=lambda e: type(e).__name__)
def test_the_decision_function_stands_in_for_probabilities(estimator):
    answer = BlackBox(estimator.fit(ROWS, LABELS))(IMAGES)
    rows = IMAGES.flatten(1).numpy()
    assert torch.equal(answer.labels, torch.from_numpy(estimator.predict(rows)).long())
    expected = 1 / (1 + np.exp(-estimator.decision_function(rows)))
    np.testing.assert_allclose(answer.probability(1), expected, rtol=1e-5)


def test_an_unfitted_estimator_is_refused():
    with pytest.raises(BlackBoxError, match="not fitted"):
        BlackBox(RandomForestClassifier())(IMAGES)


@pytest.mark.parametrize("estimator", [RandomForestClassifier(5, random_state=0), LinearSVC()])
def test_estimators_can_be_explained(estimator):
    explanation = Abele(estimator.fit(ROWS, LABELS), Identity(), n_samples=100).explain(image(0.9, 0.5))
    assert explanation.label == 1


def test_images_go_to_the_device_of_a_module_and_to_main_memory_for_all_else():
    net = nn.Linear(2, 2)
    assert BlackBox(net).device == device_of(net) == torch.device("cpu")
    assert BlackBox(net.to("meta")).device == torch.device("meta"), "it follows the module"
    only_a_buffer = nn.BatchNorm1d(2, affine=False, device="meta")
    assert device_of(only_a_buffer) == torch.device("meta")
    assert BlackBox(hard).device == device_of(nn.Flatten()) == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_answers_come_back_to_main_memory():
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).cuda()
    answer = BlackBox(net)(image(0.2, 0.4)[None].cuda())
    assert answer.labels.device.type == answer.scores.device.type == "cpu"
    assert torch.equal(answer.scores, BlackBox(net)(image(0.2, 0.4)[None]).scores)
