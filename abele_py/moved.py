"""Module paths of abele_py 0.1 that documents named: they lead to the new places, with a warning, for one release."""

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# old module -> where its names are now, looked up in this order
MOVED: dict[str, tuple[str, ...]] = {
    "autoencoder": ("models.autoencoder", "models.adversarial"),
    "black_box": ("black_boxes.black_box", "black_boxes.outputs", "black_boxes.modules"),
    "black_box_http": ("black_boxes.http",),
    "black_box_onnx": ("black_boxes.onnx",),
    "black_box_pixels": ("black_boxes.preprocessing",),
    "black_box_pt2": ("black_boxes.exported",),
    "black_box_skops": ("black_boxes.skops",),
    "checkpoints": ("models.checkpoints",),
    "class_autoencoders": ("metrics.class_autoencoders",),
    "classifiers": ("models.classifiers",),
    "comparison": ("attribution.comparison",),
    "counter_exemplars": ("latent.counter_exemplars",),
    "data_module": ("training.data_module", "training.augmentation"),
    "exemplars": ("latent.exemplars",),
    "explainer": ("explanation.explainer",),
    "latent_space": ("latent.space",),
    "lightning": ("training.modules", "training.callbacks"),
    "linear_machine": ("surrogate.linear_machine",),
    "metrics_autoencoder": ("metrics.autoencoder",),
    "metrics_counter_exemplars": ("metrics.counter_exemplars",),
    "metrics_exemplars": ("metrics.exemplars", "metrics.prototypes"),
    "metrics_saliency": ("metrics.saliency", "attribution.baselines"),
    "metrics_surrogate": ("metrics.surrogate",),
    "mixture": ("models.mixture",),
    "neighborhood": ("latent.neighborhood", "latent.genetic"),
    "own_images": ("datasets.importing",),
    "own_sources": ("datasets.sources",),
    "pages": ("views.index",),
    "plots": ("views.plots",),
    "prepared": ("datasets.prepared_images",),
    "readers": ("datasets.readers", "datasets.files"),
    "rules": ("surrogate.rules",),
    "saliency": ("explanation.saliency",),
    "sanity": ("metrics.sanity_checks",),
    "traversals": ("latent.traversals",),
    "trust": ("explanation.trust", "explanation.notes"),
}


class _OldPaths(MetaPathFinder, Loader):
    """Finds the old modules: each is empty, and looks its names up in the new ones."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == __package__ and name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        places = [f"{__package__}.{place}" for place in MOVED[module.__name__.rpartition(".")[2]]]

        def find(name: str) -> Any:
            for place in places:
                found = importlib.import_module(place)
                if hasattr(found, name):
                    return getattr(found, name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}; it is now {places[0]!r}")

        warnings.warn(
            f"{module.__name__} is now {' and '.join(places)}; the old path works for one release",
            DeprecationWarning,
            stacklevel=2,
        )
        vars(module)["__getattr__"] = find


def keep_old_paths() -> None:
    """Let the old module paths be imported."""
    if not any(isinstance(finder, _OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(_OldPaths())
