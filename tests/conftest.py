"""What many tests share: one thread, the identity world's explainer, and the shipped digits models, loaded once.

Heavy libraries are imported where they are used: pytest-xdist's controller reads this file too, and runs no test.
"""

import gc
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.quick_python import quick_python

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's workers would wait for all other tests
# While files are collected: what they import stays, and to look for garbage in it takes a third of the time.
gc.disable()


TRAINING = [f"abele_py.training.{name}" for name in ("recipe", "modules", "finishing", "callbacks")]


def pytest_configure(config):
    import support.fuzz  # noqa: F401 - its profile is that of all property-based tests

    if not hasattr(config, "workerinput"):  # one for all workers
        stack = ExitStack()
        os.environ["QUICK_PYTHON"] = str(stack.enter_context(quick_python(["torch.distributed.run", *TRAINING])))
        config.add_cleanup(stack.close)


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: some tests wait for processes that they have started."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Files with slow tests first: a worker that gets one of them last would leave the others idle."""
    with_slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in with_slow)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Workers beside each other have a core each."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def python():
    """Python with the libraries imported, by the first who starts it: of the seconds of a start none are left."""
    return Path(os.environ["QUICK_PYTHON"])


@pytest.fixture(scope="session")
def digits_models():
    """The shipped autoencoder and CNN of the digits."""
    from abele_py import load_autoencoder, load_classifier

    return load_autoencoder("digits"), load_classifier("digits-cnn")


@pytest.fixture(scope="session")
def digit_images():
    """Test images of the digits, (300, 1, 28, 28) in [0, 1]."""
    from abele_py.datasets.loading import load_split
    from abele_py.datasets.records import to_unit

    return to_unit(load_split("digits", "test").images)


@pytest.fixture(scope="session")
def digit_explanation(digits_models, digit_images):
    from abele_py import Abele

    autoencoder, classifier = digits_models
    return Abele(classifier, autoencoder, n_samples=400, class_names="0123456789").explain(digit_images[7])


@pytest.fixture(scope="session")
def explanation():
    """One explanation of the identity world, with scores and a counter-exemplar."""
    from support.worlds import Identity, image, soft

    from abele_py import Abele

    return Abele(soft, Identity(), n_samples=300, class_names=("dark", "bright")).explain(image(0.6, 0.5))


@pytest.fixture
def pictures(tmp_path):
    """A folder of drawn pictures, ten of each of three classes."""
    from support.shapes import draw_shapes

    return draw_shapes(tmp_path / "shapes")


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures of explanations without content, for tests of what stands beside them: to draw one takes seconds."""
    from matplotlib.figure import Figure

    monkeypatch.setattr("abele_py.explanation.explanation.Explanation.plot", lambda _: Figure(figsize=(6, 6)))


@pytest.fixture
def blank_reports(monkeypatch):
    """Reports of evaluations whose one picture is empty, for tests of what is measured: to draw them takes seconds."""
    from matplotlib.figure import Figure

    monkeypatch.setattr("abele_py.evaluation.report.plots", lambda *_: {"spread": Figure(figsize=(1, 1))})
