"""``abele explain-dataset``: a row for every image, and one clear line for every mistake."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image
from support.commands import FEW, PAIR

from abele_py.cli.commands import main
from abele_py.cli.explain_dataset import KEPT
from abele_py.distributed import explain_dataset as run
from abele_py.distributed import read_run, read_shards
from abele_py.distributed.rows import Keep
from abele_py.explanation.explanation import Explanation

RUN = [*PAIR, *FEW, "--shard-size", "2"]


def rows(folder="abele_out"):
    return [row for shard in read_shards(folder) for row in shard.to_pylist()]


def test_the_options_are_those_of_the_run():
    assert get_args(Keep) == KEPT


def test_a_split(here, capsys):
    assert main(["explain-dataset", "digits:test:3", *RUN, "--keep", "full"]) == 0
    assert capsys.readouterr().out == "3 of 3 images explained: abele_out\n"
    found = rows()
    for number, row in enumerate(found):
        whole = Explanation.load(here / "abele_out" / "explanations" / f"{number // 2:08d}" / f"{number}.npz")
        assert (row["label"], row["name"]) == (whole.label, whole.provenance["image"]["name"])
        assert row["trust"]["held_out"] == pytest.approx(whole.fidelity, rel=1e-6)
    assert read_run(here / "abele_out").named == {
        "data": "digits:test:3", "autoencoder": "digits", "black_box": "digits-cnn",
    }  # fmt: skip


def test_a_folder_with_a_picture_that_is_none(here, capsys, digit_images):
    folder = here / "pictures" / "7"
    folder.mkdir(parents=True)
    Image.fromarray((digit_images[7, 0] * 255).round().byte().numpy()).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"none")
    assert main(["explain-dataset", "pictures", *RUN]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 2 images explained: abele_out", "1 not, by ImageError: the column reason says why",
    ]  # fmt: skip
    good, bad = rows()
    assert (good["true_label"], good["error"], bad["label"]) == (7, None, None)
    assert "b.png" in bad["reason"]


def test_the_same_command_goes_on_and_another_is_refused(here, capsys):
    command = ["explain-dataset", "digits:test:4", *RUN]
    assert main(command) == 0
    second = here / "abele_out" / "shards" / "00000" / "00000001.parquet"
    content = second.read_bytes()
    second.write_bytes(content[:-9])
    assert main(command) == 0
    assert second.read_bytes() == content
    capsys.readouterr()
    assert main([*command, "--target", "3"]) == 2
    assert "differs in options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["digits:test:0"], "got 0 images"),
        (["nowhere"], "expected DATASET:SPLIT"),
        (["digits:test", "--workers", "0"], "expected"),
        (["digits:test:2", "--shard-size", "0"], "expected"),
        (["digits:test:2", "--class-names", "a,b"], "expected"),
    ],
)
def test_a_mistake_is_one_clear_line(here, capsys, more, words):
    assert main(["explain-dataset", *PAIR, *FEW, *more]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (here / "abele_out").exists()


def test_in_python(tmp_path, digit_images, digits_models):
    from abele_py import Abele

    autoencoder, classifier = digits_models
    explainer = Abele(classifier, autoencoder, n_samples=100)
    seen = []
    counts = run(digit_images[:3], explainer, tmp_path / "run", shard_size=2, progress=lambda *done: seen.append(done))
    assert counts == (3, {})
    assert seen == [(2, 3), (3, 3)]
    found = rows(tmp_path / "run")
    assert [row["name"] for row in found] == ["images:0", "images:1", "images:2"]
    again = list(explainer.explain_many(digit_images[:3]))
    assert [row["latent"] for row in found] == [e.latent.tolist() for e in again]
    sure = [float(e.probabilities(e.scores)[e.label]) for e in again]
    assert np.allclose([row["probability"] for row in found], sure)
