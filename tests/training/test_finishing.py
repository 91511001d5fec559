"""The end of a training: which of two autoencoders is kept, and a full disk that costs no training."""

import errno
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.paths import ROOT

from abele_py.errors import CheckpointError
from abele_py.models.adversarial import AdversarialAutoencoder
from abele_py.models.checkpoints import load_autoencoder, read_manifest
from abele_py.training import finishing
from abele_py.training.data_module import EVALUATED
from abele_py.training.finishing import _Decoded, _is_better, in_batches
from abele_py.training.recipe import train

LABELS = torch.arange(2).repeat(200)  # 200 images of each label


def decoded(rmse, wrong, labels=LABELS, first=0):
    """An autoencoder that loses the labels of some images, from the first one on."""
    again, lost = LABELS.clone(), slice(first, first + wrong)
    again[lost] = 1 - again[lost]
    return _Decoded(rmse, labels, again)


@pytest.mark.parametrize(
    ("rmse", "wrong", "better"),
    [
        (8.0, 20, True),  # pixels that are better to be seen, as many labels
        (9.9, 20, False),  # pixels that are not
        (9.9, 15, True),  # five labels more, and none less: the standard error is 2.2 labels
        (9.9, 18, False),
        (8.0, 21, True),  # one label less is chance
        (8.0, 25, False),  # five are not
        (10.1, 0, False),
        (10.0, 20, False),
    ],
)
def test_the_trained_one_is_kept_where_it_is_better_by_no_chance(rmse, wrong, better):
    assert _is_better(decoded(rmse, wrong), decoded(10.0, 20)) is better


def test_as_many_labels_of_other_images_are_a_matter_of_chance():
    assert not _is_better(decoded(9.9, 12, first=20), decoded(10.0, 20))
    assert _is_better(decoded(9.9, 12), decoded(10.0, 20))


def test_without_labels_pixels_decide():
    assert _is_better(decoded(9.9, 0, None), decoded(10.0, 0, None))
    assert not _is_better(decoded(10.0, 0, None), decoded(10.0, 0, None))
    assert not _is_better(decoded(0.0, 0), decoded(0.0, 0))


@pytest.mark.parametrize(
    ("reached", "kept"),
    [
        ([(10.0, 20), (9.0, 20), (8.0, 20)], 2),
        ([(10.0, 20), (8.0, 20), (9.0, 20)], 1),  # better than the first one, not than the second
        ([(10.0, 20), (11.0, 20), (9.0, 20)], 2),
        ([(10.0, 20), (9.9, 20), (9.0, 25)], 0),
    ],
)
def test_of_several_the_last_one_that_is_better_is_kept(reached, kept, monkeypatch):
    candidates = {f"number {i}": AdversarialAutoencoder(latent_dim=3, hidden=(4,)).eval() for i in range(3)}
    results = dict(zip(candidates.values(), reached, strict=True))
    monkeypatch.setattr(finishing, "_decoded", lambda network, *_: decoded(*results[network]))
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    network, codes = finishing._best(candidates, images, None)
    assert network is candidates[f"number {kept}"]
    assert torch.equal(codes, in_batches(network.encode, images))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_full_disk_at_the_end_costs_no_training(tmp_path, monkeypatch):
    """The disk is full while the checkpoint is written: an earlier one stays whole, and --resume only writes."""
    recipe = ROOT / "training" / "digits-autoencoder.yaml"
    few = ["--trainer.limit_train_batches=2", "--data.limit=60", "--data.batch_size=30", "--trainer.max_epochs=1"]
    out = Path(shutil.copytree(ROOT / "checkpoints" / "digits", tmp_path / "earlier"))
    options = [*few, "--trainer.enable_progress_bar=false", f"--runs={tmp_path}", "--name=x", f"--out={out}"]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    whole = Path.write_bytes

    def full(self, content):
        if ".partial-" in str(self.parent) and self.name == "traversals.png":
            whole(self, content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(CheckpointError, match=r"No space left on device.*--resume: nothing is trained again"):
            train(recipe, [*options, "--overwrite"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", "x"]

    steps = "abele_py.training.modules.AutoencoderModule.training_step"
    monkeypatch.setattr(steps, lambda *_: pytest.fail("trained again"))
    encoded: Counter[int] = Counter()
    encode = AdversarialAutoencoder.encode
    monkeypatch.setattr(
        AdversarialAutoencoder, "encode", lambda self, x: (encoded.update([len(x)]), encode(self, x))[1]
    )
    folder = train(recipe, options, resume=True)
    assert (
        encoded[sum(read_manifest(folder).test_counts) % EVALUATED] == 1
    )  # the last batch of test: never refined twice
    names = {"MODEL_CARD.md", "manifest.json", "model.safetensors", "samples.png", "traversals.png"}
    assert {path.name for path in folder.iterdir()} == names
    with Image.open(tmp_path / "x" / "reconstructions.png") as picture:
        assert picture.width > 600
    best = torch.load(tmp_path / "x" / "best.ckpt", weights_only=True)["state_dict"]
    found = load_autoencoder(folder).state_dict()
    assert torch.equal(found["decoder.0.weight"], best["network.decoder.0.weight"].half().float())
