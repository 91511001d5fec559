"""A golden set of results, byte by byte: made before a change of the code, compared with after it.

    python benchmarks/golden.py make FOLDER [--data-dir DIR]   # before; writes FOLDER/golden.json
    python benchmarks/golden.py check FOLDER [--data-dir DIR]  # after; names every part that differs, exit code 1

Each part of a result is kept as the SHA-256 of its bytes: every array and every value of explanations (digits, MNIST;
default and paper presets, labels only, a target, every neighborhood and saliency map), the maps of a comparison,
the rows of an evaluation, the weights of two trained checkpoints. Times, versions and dates are no part of a result.
Only the public interface is used, so that one copy of this file runs on any version.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch

from abele_py import Abele, Explanation, compare, load_autoencoder, load_classifier, load_image
from abele_py.cli import main as abele

ROOT = Path(__file__).resolve().parent.parent
UNSTEADY = {"seconds", "versions", "version", "date", "hardware", "minutes", "abele_py", "threads", "time"}
DIGITS = ("digits:test:7", "digits:test:44", "digits:test:100")
SETTINGS = {
    "default": {},
    "paper": {"preset": "paper"},
    "seed": {"random_state": 3, "n_samples": 400, "n_exemplars": 5, "n_frames": 4},
    "axis-contrast": {"splits": "axis", "saliency": "contrast"},
    "median": {"saliency": "median", "counter_depth": 0.0, "n_landmarks": 500},
    **{name: {"neighborhood": name, "n_samples": 300} for name in ("random", "genetic", "genetic-score", "hybrid")},
}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def without_times(value):
    """A JSON value without what differs from run to run."""
    if isinstance(value, dict):
        return {key: without_times(v) for key, v in value.items() if key not in UNSTEADY}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def parts_of_json(name: str, text: str):
    value = without_times(json.loads(text))
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield f"{name}/{key}", sha(json.dumps(part, sort_keys=True).encode())


def parts_of_npz(name: str, path: Path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    with np.load(path, allow_pickle=False) as arrays:
        for member in (n.removesuffix(".npy") for n in names):
            array = arrays[member]
            if array.dtype.kind in "US" and array.ndim == 0:
                yield from parts_of_json(f"{name}/{member}", str(array))
            elif member not in UNSTEADY:
                yield f"{name}/{member}", sha(repr((array.dtype.str, array.shape)).encode() + array.tobytes())


def parts_of_explanation(name: str, explanation: Explanation):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "explanation.npz"
        explanation.save(path)
        yield from parts_of_npz(f"{name}/npz", path)
    yield from parts_of_json(f"{name}/json", explanation.to_json())


def explanations(data_dir):
    autoencoder, cnn = load_autoencoder("digits"), load_classifier("digits-cnn")
    for setting, options in SETTINGS.items():
        explainer = Abele(cnn, autoencoder, **options)
        for image in DIGITS:
            yield from parts_of_explanation(f"{image}/{setting}", explainer.explain(load_image(image)))
    only_labels = Abele(lambda images: cnn(images).argmax(1), autoencoder, class_names=[str(i) for i in range(10)])
    yield from parts_of_explanation("labels-only", only_labels.explain(load_image(DIGITS[0]), target=3))
    forest = Abele(load_classifier("digits-forest"), autoencoder, n_samples=300)
    yield from parts_of_explanation("forest", forest.explain(load_image(DIGITS[0])))
    for name in ("mnist", "fashion-mnist"):
        cnn, autoencoder = load_classifier(f"{name}-cnn"), load_autoencoder(name)
        known = getattr(autoencoder, "mixture", None) is not None
        for setting in ({}, {"preset": "paper"}, *([{"neighborhood": "mixture", "n_samples": 300}] if known else [])):
            explainer = Abele(cnn, autoencoder, **setting)
            for index in (11, 2024):
                image = load_image(f"{name}:test:{index}", data_dir)
                yield from parts_of_explanation(f"{name}:{index}/{setting}", explainer.explain(image))


def comparison(data_dir):
    images = torch.stack([load_image(image) for image in DIGITS[:2]])
    found = compare(images, load_classifier("digits-cnn"), load_autoencoder("digits"), random_state=1)
    for name, maps in found.maps.items():
        yield f"comparison/{name}", sha(maps.numpy().tobytes())


def evaluation(data_dir):
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["evaluate", "digits:test:3", "--autoencoder", "digits", "--black-box", "digits-cnn"]
        arguments += ["--oracle", "digits-oracle", "--costly-images", "1", "--out", folder]
        arguments += ["--methods", "abele,abele-median,saliency,rise,random-order"]
        if abele(arguments) != 0:
            raise SystemExit("the evaluation failed")
        for path in sorted(Path(folder).glob("*.jsonl")):
            for i, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
                yield from parts_of_json(f"evaluation/{path.stem}/{i}", line)
        yield from parts_of_json("evaluation/summary", (Path(folder) / "summary.json").read_text(encoding="utf-8"))


def training(data_dir):
    for recipe in ("digits-autoencoder", "digits-cnn"):
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["train", str(ROOT / "training" / f"{recipe}.yaml"), f"--runs={folder}"]
            if abele([*arguments, "--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--threads=1"]) != 0:
                raise SystemExit("the training failed")
            (checkpoint,) = Path(folder).glob("*/checkpoint")
            yield f"training/{recipe}/weights", sha((checkpoint / "model.safetensors").read_bytes())
            metrics = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))["metrics"]
            yield from parts_of_json(f"training/{recipe}/metrics", json.dumps(metrics))


def smallest(data_dir):
    """One explanation: enough to see that this file runs."""
    explainer = Abele(load_classifier("digits-cnn"), load_autoencoder("digits"), n_samples=200)
    yield from parts_of_explanation("smallest", explainer.explain(load_image(DIGITS[0])))


PARTS = (explanations, comparison, evaluation, training)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("make", "check"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--parts", nargs="+", default=[part.__name__ for part in PARTS])
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    path = options.folder / "golden.json"
    made_before = options.action == "make" and path.exists()
    found = json.loads(path.read_text(encoding="utf-8")) if made_before else {}
    for part in (*PARTS, smallest):
        if part.__name__ in options.parts:
            found |= dict(part(options.data_dir))
            if options.action == "make":
                options.folder.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    if options.action == "make":
        print(f"{len(found)} parts: {path}")
        return 0
    known = json.loads(path.read_text(encoding="utf-8"))
    if len(options.parts) < len(PARTS):
        known = {name: known[name] for name in known if name in found}
    differing = sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
    for name in differing:
        print(
            f"differs: {name}"
            if name in known and name in found
            else f"only {'before' if name in known else 'now'}: {name}"
        )
    print(f"{len(known) - len(differing)} of {len(known)} parts are the same, {len(differing)} differ")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
