"""The time that is left: estimated from the epochs of this process, and told without flooding."""

from types import SimpleNamespace

import pytest
from support.paths import ROOT

from abele_py.training.recipe import parse
from abele_py.training.time_left import ProgressBar, TimeLeft, in_words, seconds_left

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def told(epochs, seconds, first=0, stoppers=(), say=True):
    """Lines of a training whose epochs take ``seconds`` each, and what a bar would show after each."""
    now, lines, shown = [100.0], [], []
    left = TimeLeft(lines.append if say else None, clock=lambda: now[0])
    trainer = SimpleNamespace(max_epochs=epochs, current_epoch=first, early_stopping_callbacks=list(stoppers))
    left.on_train_start(trainer, None)
    for trainer.current_epoch in range(first, max(first + 1, epochs or 0)):
        now[0] += seconds
        left.on_train_epoch_end(trainer, None)
        shown.append(left.words)
    return lines, shown


def test_each_epoch_but_the_last_has_one_line():
    lines, shown = told(4, 60)
    assert lines == [f"epoch {i} of 4: about {4 - i} min of training left" for i in (1, 2, 3)]
    assert shown == ["about 3 min", "about 2 min", "about 1 min", ""]


def test_a_resumed_training_counts_its_own_epochs_alone():
    assert told(10, 60, first=7)[0] == [
        "epoch 8 of 10: about 2 min of training left", "epoch 9 of 10: about 1 min of training left"
    ]  # fmt: skip


def test_a_short_training_says_nothing():
    assert told(9, 1)[0] == []
    assert len(told(10, 1)[0]) == 9
    assert told(20, 0.1, first=0)[0] == []


def test_a_training_that_may_stop_earlier_is_told_as_such():
    assert told(2, 60, stoppers=["patience"])[0] == ["epoch 1 of 2: at most 1 min of training left"]


@pytest.mark.parametrize("epochs", [None, -1])
def test_nothing_is_known_of_a_training_without_an_end(epochs):
    assert told(epochs, 60) == ([], [""])


def test_where_a_bar_shows_it_there_are_no_lines():
    assert told(3, 60, say=False) == ([], ["about 2 min", "about 1 min", ""])


def test_estimate_and_words():
    assert seconds_left(30, 3, 5) == 50
    assert seconds_left(30, 3, -1) == 0
    words = {0.2: "10 s", 10: "10 s", 11: "20 s", 50: "50 s", 51: "1 min", 89: "1 min", 91: "2 min"}
    words |= {3600: "1 h 0 min", 7800: "2 h 10 min", 3594: "1 h 0 min", 3500: "58 min"}
    assert {seconds: in_words(seconds) for seconds in words} == words


@pytest.mark.parametrize("bar", [True, False])
def test_a_training_has_a_bar_or_lines(bar, tmp_path):
    recipe = ROOT / "training" / "digits-cnn.yaml"
    trainer = parse([f"--config={recipe}", f"--trainer.enable_progress_bar={bar}", f"--runs={tmp_path}"]).trainer
    (left,) = (callback for callback in trainer.callbacks if isinstance(callback, TimeLeft))
    bars = [callback for callback in trainer.callbacks if isinstance(callback, ProgressBar)]
    assert (left.say is None) == bar == bool(bars)
    if bar:
        bars[0].left.words = "about 2 min"
        assert bars[0].left is left
        assert bars[0].get_metrics(trainer, None)["left"] == "about 2 min"
