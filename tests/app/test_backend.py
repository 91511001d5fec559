"""What the page does, without the page: the same explanations as the library's, one at a time, and an end on demand."""

import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from support.results import content
from torch import nn

from abele_py import Abele, compare
from abele_py.app.backend import Studio
from abele_py.app.jobs import Stopped
from abele_py.errors import AbeleError, BlackBoxError, ImageError, ParameterError


@pytest.fixture(scope="module")
def studio():
    studio = Studio()
    yield studio
    studio.close()


def done(studio, work):
    return studio.start(work).result()


def told(studio, work, tell):
    """Begin work that tells this function how far it is."""
    gate = threading.Event()
    studio.start(gate.wait)
    job = studio.start(work)
    job.tell = tell
    gate.set()
    return job


@pytest.fixture(scope="module")
def explained(studio):
    return done(studio, lambda: studio.explain(studio.picked(7), "digits-cnn"))


def test_the_shipped_black_boxes_of_the_data_set_are_offered(studio):
    assert studio.black_boxes == ["digits-cnn", "digits-forest", "digits-oracle"]
    assert len(studio.images) == 300
    assert studio.drawn


def test_an_explanation_is_the_library_s(explained, digits_models, digit_images):
    autoencoder, classifier = digits_models
    expected = Abele(classifier, autoencoder, class_names="0123456789").explain(digit_images[7])
    assert content(explained.explanation) == content(expected)
    assert explained.name == "digits:test:7"


def test_names_are_those_of_the_given_black_box_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = "def box(images):\n    return (images.mean(dim=(1, 2, 3)) > 0.3).long()\n"
    (tmp_path / "nameless_box.py").write_text(source)
    studio = Studio(black_box="nameless_box:box", class_names=("dark", "bright"))
    assert done(studio, lambda: studio.load("nameless_box:box").names) == ("dark", "bright")
    assert done(studio, lambda: studio.load("digits-cnn").names) == tuple("0123456789")
    studio.close()
    with pytest.raises(ParameterError, match="got 3 class_names for 10 scores"):
        Studio(black_box="digits-cnn", class_names=("a", "b", "c"))


def test_a_target_is_looked_for_alone(studio, explained):
    e = done(studio, lambda: studio.explain(studio.picked(7), "digits-cnn", 8)).explanation
    assert e.label == explained.explanation.label
    assert e.counter_exemplars.labels.tolist() == [8]


def test_the_sliders_begin_at_the_image_and_reach_what_real_images_reach(studio, explained):
    e = explained.explanation
    points, realistic = done(studio, lambda: studio.decoded(e.latent.tolist(), explained))
    assert points.images[0].allclose(e.image, atol=1e-6)
    assert int(points.labels) == e.label
    assert realistic
    low, high = torch.tensor(studio.ranges()).T
    codes = studio.autoencoder.reference_latents
    assert bool(((codes >= low) & (codes <= high)).all())
    far = torch.full_like(e.latent, -9.03)
    assert {low for low, _ in studio.ranges(far)} == {-9.1}, "what lies outside is inside, rounded too"


def test_a_comparison_is_the_library_s_and_says_what_it_is_at(studio, explained, digits_models):
    stages = []
    work = lambda: studio.compared(explained, ["grad-cam", "edge-detector"])  # noqa: E731
    found = told(studio, work, lambda stage="", queried=0: stages.append(stage)).result()
    autoencoder, classifier = digits_models
    image = explained.explanation.image
    expected = compare(image, classifier, autoencoder, ["grad-cam", "edge-detector"], class_names="0123456789")
    assert found.titles == expected.titles
    assert all(found.maps[name].equal(expected.maps[name]) for name in expected.maps)
    assert [stage for stage in stages if stage] == ["Grad-CAM", "Edge detector"]


def test_what_a_black_box_cannot_serve_is_left_out_with_its_reason(studio):
    e = done(studio, lambda: studio.explain(studio.picked(7), "digits-forest"))
    assert "gradients" in done(studio, lambda: studio.compared(e, ["saliency", "edge-detector"])).left_out["saliency"]


def test_work_is_done_one_after_another(studio):
    running, most = [], []

    def work():
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()

    jobs = [studio.start(work) for _ in range(5)]
    assert not jobs[-1].done(0)
    [job.result() for job in jobs]
    assert most == [1] * 5
    assert jobs[-1].done(0)


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A studio whose black box waits at every call once it is told to, and the calls it had."""
    (tmp_path / "slow_box.py").write_text(
        "import threading\n\ncalls, free = [], threading.Event()\nfree.set()\n\n"
        "def box(images):\n    calls.append(len(images))\n    free.wait(20)\n"
        "    return (images.mean(dim=(1, 2, 3)) > 0.3).long()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import slow_box

    studio = Studio(black_box="slow_box:box")
    yield studio, slow_box
    slow_box.free.set()
    studio.close()


def test_stopped_work_ends_at_the_next_call_of_the_black_box(slow):
    studio, box = slow
    assert studio.black_boxes[0] == "slow_box:box"
    box.free.clear()
    calls = len(box.calls)
    job = studio.start(lambda: studio.explain(studio.picked(7), "slow_box:box"), "Explaining")
    after = studio.start(lambda: 3)
    while len(box.calls) == calls:
        assert not job.done(0.01)
    job.stop()
    box.free.set()
    with pytest.raises(Stopped):
        job.result()
    assert after.result() == 3
    assert len(box.calls) == calls + 1
    assert job.queried == box.calls[-1]


def test_work_that_has_not_begun_is_never_begun(slow):
    studio, box = slow
    box.free.clear()
    begun = []
    first = studio.start(lambda: studio.predicted(studio.picked(7).image, "slow_box:box"))
    second = studio.start(lambda: begun.append(1))
    second.stop()
    box.free.set()
    assert int(first.result().labels) in (0, 1)
    with pytest.raises(Stopped):
        second.result()
    assert second.done(0)
    assert begun == []


@pytest.mark.parametrize("method", ["rise", "lime", "meaningful-perturbation", "lrp"])
def test_a_method_of_a_comparison_ends_too(studio, explained, method):
    """Also where a method works on a copy of the network, or turns every Exception into its own."""
    reached = threading.Event()

    def tell(stage="", queried=0):
        if reached.is_set():
            raise Stopped
        if stage:
            reached.set()

    with pytest.raises(Stopped):
        told(studio, lambda: studio.compared(explained, [method]), tell).result()


def test_a_function_without_names_gets_numbers(slow):
    studio, _ = slow
    assert done(studio, lambda: studio.load("slow_box:box")).names == ("0", "1")


def test_a_torch_module_keeps_its_gradients(tmp_path, monkeypatch):
    (tmp_path / "net_box.py").write_text(
        "from torch import nn\n\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 3), nn.Softmax(1)).eval()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    studio = Studio(black_box="net_box:net", options={"mean": "0.5", "std": "0.5"})
    loaded = done(studio, lambda: studio.load("net_box:net"))
    assert isinstance(loaded.classifier, nn.Module)
    assert loaded.names == ("0", "1", "2")
    studio.close()


def test_uploads_are_scaled_and_inverted(studio, tmp_path):
    Image.fromarray(np.full((56, 40, 3), 255, dtype=np.uint8)).save(tmp_path / "white.png")
    plain, inverted = studio.uploaded(tmp_path / "white.png"), studio.uploaded(tmp_path / "white.png", True)
    assert plain.name == "white.png"
    assert plain.image.shape == (1, 28, 28)
    assert plain.image.allclose(torch.ones(()))
    assert inverted.image.equal(1 - plain.image)


def test_a_bad_upload_is_refused_without_a_word_on_our_folders(studio, tmp_path):
    (tmp_path / "text.png").write_text("hello")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
    for name in ("text.png", "bomb.png"):
        with pytest.raises(ImageError, match=r"got .*; expected .*;") as caught:
            studio.uploaded(tmp_path / name)
        assert name in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def test_random_pictures_touch_no_global_random_state(studio):
    before = torch.get_rng_state()
    assert len({studio.picked(None).name for _ in range(20)}) > 1
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("number", [-1, 300])
def test_a_number_out_of_range_is_refused(studio, number):
    with pytest.raises(ParameterError, match=f"got the number {number}; expected 0 to 299"):
        studio.picked(number)


def test_only_black_boxes_of_the_page_are_loaded(studio):
    with pytest.raises(ParameterError, match="expected one of: digits-cnn"):
        done(studio, lambda: studio.load("os:system"))


def test_missing_test_images_are_said_and_the_rest_works(tmp_path, monkeypatch):
    monkeypatch.delenv("ABELE_DATA_DIR", raising=False)
    studio = Studio("mnist", data_dir=tmp_path)
    assert studio.images is None
    assert "--download" in studio.no_images
    with pytest.raises(ParameterError, match="--download"):
        studio.picked(3)
    assert studio.black_boxes == ["mnist-cnn", "mnist-oracle"]
    studio.close()


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"autoencoder": "digit"}, AbeleError, "Did you mean"),
        ({"black_box": "digits-cnm"}, AbeleError, "Did you mean"),
        ({"black_box": "mnist-cnn", "options": {"mean": "0.5"}}, ParameterError, "its own preprocessing"),
        ({"autoencoder": "pneumoniamnist", "black_box": "cifar10-jpeg-cnn"}, BlackBoxError, "expected the same"),
    ],
)
def test_models_that_cannot_be_used_are_said_at_once(options, error, word):
    with pytest.raises(error, match=word):
        Studio(**options)
