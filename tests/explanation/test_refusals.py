"""What cannot be explained is refused at once, and says what came, what was expected, and what to do."""

import pytest
import torch
from support.worlds import Counting, Identity, IdentityModule, image, soft

from abele_py import Abele, compare
from abele_py.errors import AutoencoderError, BlackBoxError, ImageError, ParameterError, UnknownNameError, unknown_name
from abele_py.models.autoencoder import Autoencoder


def codes(explanation):
    return {note.code for note in explanation.notes}


@pytest.mark.parametrize("wrong", [torch.rand(1, 2), torch.rand(1, 1, 3), torch.full((1, 1, 2), 2.0), "picture.png"])
def test_a_wrong_image_is_refused_before_the_black_box_is_asked(wrong):
    counting = Counting(soft)
    explainer = Abele(counting, Identity())
    counting.batches.clear()
    with pytest.raises(ImageError):
        explainer.explain(wrong)
    assert counting.batches == []


@pytest.mark.parametrize(
    "options",
    [
        {"n_samples": 0},
        {"n_samples": 9},
        {"batch_size": 0},
        {"n_exemplars": 0},
        {"n_frames": 1},
        {"n_landmarks": -1},
        {"counter_depth": -0.1},
        {"counter_depth": 1.1},
        {"counter_depth": float("nan")},
        {"min_class_fraction": 0.6},
        {"min_class_fraction": float("nan")},
        {"kernel_width": 0.0},
        {"kernel_width": -1.0},
        {"kernel_width": float("inf")},
        {"validity_threshold": float("nan")},
        {"random_state": 2**70},
    ],
    ids=str,
)
def test_impossible_options_are_refused_at_once(options):
    with pytest.raises(ParameterError, match="expected"):
        Abele(soft, Identity(), **options)


@pytest.mark.parametrize("options", [{"neighborhood": "nearby"}, {"preset": "fast"}, {"saliency": "lime"}], ids=str)
def test_unknown_names_are_refused_at_once(options):
    with pytest.raises(UnknownNameError, match="expected one of"):
        Abele(soft, Identity(), **options)


def test_of_a_thousand_names_some_are_listed_and_the_closest_is_still_found():
    names = [f"class-{i}" for i in range(1000)]
    few, many = str(unknown_name("target", "Class-777", names[:50])), str(unknown_name("target", "Class-777", names))
    assert all(name in few for name in names[:50])
    assert "more" not in few
    assert "class-49 and 950 more. Did you mean 'class-777'?" in many
    assert "class-50" not in many


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="n_sample"):
        Abele(soft, Identity(), n_sample=100)


def test_a_black_box_that_fails_later_is_a_clear_error():
    explainer = Abele(Counting(soft), Identity(), n_samples=100)
    explainer._space.black_box._function = lambda x: torch.full((len(x), 2), torch.nan)
    with pytest.raises(BlackBoxError, match="NaN"):
        explainer.explain(image(0.6, 0.5))


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(1, 2),
        torch.full((1, 1, 2), 2.0),
        torch.rand(3, 1, 1, 3),
        [],
        torch.rand(0, 1, 1, 2),
        [image(0.6, 0.5), "picture.png"],
        "picture.png",
        None,
    ],
)
def test_wrong_images_are_refused_before_the_black_box_is_asked_to_compare(images):
    counting = Counting(soft)
    with pytest.raises(ImageError, match="expected"):
        compare(images, counting, Identity())
    assert counting.batches == []


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"random_state": -1},
        {"class_names": ("a", "b", "c")},
        {"methods": ("rise", "rise")},
    ],
    ids=str,
)
def test_a_comparison_with_impossible_options_is_refused(options):
    with pytest.raises(ParameterError, match="expected"):
        compare(image(0.6, 0.5), soft, Identity(), **options)


def test_a_comparison_of_what_is_no_black_box_or_autoencoder_is_refused():
    with pytest.raises(BlackBoxError, match="deterministic"):
        compare(image(0.6, 0.5), lambda x: torch.rand(len(x), 2), Identity(), "edge-detector")
    with pytest.raises(BlackBoxError, match="expected a callable"):
        compare(image(0.6, 0.5), "digits-cnn", Identity(), "edge-detector")
    with pytest.raises(AutoencoderError, match="load_autoencoder"):
        compare(image(0.6, 0.5), soft, "digits", "edge-detector")
    with pytest.raises(ParameterError, match="columns=0"):
        compare(image(0.6, 0.5), soft, Identity(), "edge-detector").plot(columns=0)


class Bad(Identity):
    """The identity with one fault."""

    def __init__(self, **faults):
        super().__init__()
        for name, value in faults.items():
            setattr(self, name, value)


BAD = {
    "code of another size": {"encode": lambda x: torch.zeros(len(x), 3)},
    "too few codes": {"encode": lambda x: torch.zeros(1, 2)[:0]},
    "image of another shape": {"decode": lambda z: z},
    "NaN image": {"decode": lambda z: torch.full((len(z), 1, 1, 2), torch.nan)},
    "images outside of 0 to 1": {"decode": lambda z: (2 * z - 5).reshape(-1, 1, 1, 2)},
    "an array": {"decode": lambda z: z.numpy().reshape(-1, 1, 1, 2).clip(0, 1).tolist()},
    "a column of validity": {"discriminate": lambda z: torch.ones(len(z), 1)},
    "NaN validity": {"discriminate": lambda z: torch.full((len(z),), torch.nan)},
    "a random code": {"encode": lambda x: x.flatten(1) + 0.1 * torch.randn(len(x), 2)},
    "a random image": {"decode": lambda z: torch.rand(len(z), 1, 1, 2)},
    "a code that depends on the batch": {"encode": lambda x: x.flatten(1) - x.flatten(1).mean(dim=0)},
    "no reference codes": {"reference_latents": torch.zeros(0, 2)},
    "reference codes of another size": {"reference_latents": torch.zeros(9, 3)},
}


@pytest.mark.parametrize("faults", BAD.values(), ids=BAD.keys())
def test_an_autoencoder_that_breaks_the_protocol_is_a_clear_error(faults):
    with pytest.raises(AutoencoderError, match=r"expected .*;") as caught:
        Abele(soft, Bad(**faults), n_samples=100).explain(image(0.6, 0.5))
    assert isinstance(caught.value, TypeError)


def test_an_autoencoder_that_raises_is_named_with_what_it_was_given():
    with pytest.raises(AutoencoderError, match=r"raised ZeroDivisionError.*shape \(16, 2\).*try it"):
        Abele(soft, Bad(decode=lambda _: 1 / 0))


def test_a_random_black_box_without_scores_is_found_out():
    torch.manual_seed(0)
    for _ in range(20):
        with pytest.raises(BlackBoxError, match="deterministic"):
            Abele(lambda x: torch.randint(2, (len(x),)), Bad())


def test_names_for_other_classes_than_there_are_scores_are_refused():
    with pytest.raises(ParameterError, match="3 class_names for 2 scores"):
        Abele(soft, Bad(), class_names=("a", "b", "c"))


def test_a_neighborhood_that_is_no_strategy_is_refused():
    with pytest.raises(ParameterError, match="expected a name or a strategy"):
        Abele(soft, Bad(), neighborhood=object())


@pytest.mark.parametrize("thing", [None, "digits", torch.nn.Linear(2, 2)])
def test_what_is_no_autoencoder_is_refused_and_names_what_is_missing(thing):
    with pytest.raises(AutoencoderError, match=r"without .*decode.*load_autoencoder"):
        Abele(soft, thing)


def test_the_shape_of_images_may_be_a_list():
    assert Abele(soft, Bad(image_shape=[1, 1, 2]), n_samples=100).explain(image(0.6, 0.5)).label == 1


@pytest.mark.parametrize("fails", [False, True])
def test_an_autoencoder_is_left_as_it_was_found(fails):
    autoencoder = IdentityModule()
    assert isinstance(autoencoder, Autoencoder)
    autoencoder.copy[1].eval()
    modes = [m.training for m in autoencoder.modules()]
    explainer = Abele(soft, autoencoder, n_samples=100)
    if fails:
        explainer._space.autoencoder.copy[0].register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(AutoencoderError, match="division by zero"):
            explainer.explain(image(0.6, 0.5))
    else:
        e = explainer.explain(image(0.6, 0.5))
        assert not any(t.requires_grad for t in (e.latent, e.reconstruction, e.exemplars.images, e.saliency))
    assert [m.training for m in autoencoder.modules()] == modes
    assert [p.requires_grad for p in autoencoder.parameters()] == [True]
    assert [p.grad for p in autoencoder.parameters()] == [None]
    assert torch.is_grad_enabled()
