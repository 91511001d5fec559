"""One image, many methods: all maps on one scale in one figure, and raw in one file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..black_boxes.black_box import BlackBox
from ..black_boxes.outputs import probabilities, scale_in
from ..checking.parameters import ClassNames, Count, Number, SmallSeed, between, checked
from ..class_names import name_of
from ..datasets.images import check_image
from ..errors import (
    AbeleError,
    BlackBoxError,
    DataError,
    ImageError,
    MissingExtraError,
    NeighborhoodError,
)
from ..explanation.saliency import on_one_scale
from ..latent.space import LatentSpace
from ..models.autoencoder import Autoencoder
from ..provenance import merged, origin_of, origin_of_image, versions
from ..storage.files import read_npz, same_arrays, write_npz
from .registry import AbeleMaps, Method, grouped, methods_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several methods say of a black box's decisions on N images.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64, the black box's labels, which all maps explain.
        scores: (N, K) float32, or None for a black box that answers labels only.
        class_names: K names, or none.
        titles: each method's name in print, also of those that were left out.
        maps: each method's raw maps (N, H, W) float32, on its own scale.
        seconds: wall time of each map, (N,) float64; the first one's holds what a method sets up once. ABELE's maps
            are read from one explanation, and each has the time of the whole explanation.
        left_out: methods without maps, and why.
        params: seed and versions.
        provenance: what was compared, as JSON: ``black_box``, ``autoencoder`` and, in a list, ``images``; as of an
            :class:`~abele_py.Explanation`. None in files of a time when none was noted.
    """

    images: Tensor
    labels: Tensor
    scores: Tensor | None
    class_names: tuple[str, ...]
    titles: dict[str, str]
    maps: dict[str, Tensor]
    seconds: dict[str, Tensor]
    left_out: dict[str, str]
    params: dict[str, Any]
    provenance: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def with_provenance(self, **more: Any) -> "Comparison":
        """A copy whose ``provenance`` says more, as of an :class:`~abele_py.Explanation`."""
        return replace(self, provenance=merged(self.provenance or {}, more))

    @checked
    def predicted(self, index: Number, width: Count = 60) -> str:
        """What the black box predicts: the label's name, cut to a width, and its probability if it gives scores."""
        label = int(self.labels[index])
        name = name_of(self.class_names, label)
        name = name if len(name) <= width else name[: width - 1] + "…"
        if self.scores is None:
            return name
        return f"{name} ({float(probabilities(self.scores, scale_in(self.params))[index, label]):.2f})"

    @checked
    def scaled(self, name: str) -> Tensor:
        """A method's maps (N, H, W) as drawn, 0 neutral: see :func:`~abele_py.explanation.saliency.on_one_scale`."""
        return on_one_scale(self.maps[name])

    def caption(self) -> list[str]:
        """What a reader must know of the maps: their scale, what cannot be read from them, and which are missing."""
        title = self.titles
        lines = ["Each map is divided by the 99 % quantile of its absolute values, and cut to [-1, 1]."]
        unsigned = [title[name] for name in self.maps if float(self.scaled(name).min()) >= 0]
        if unsigned:
            lines.append(f"Without values below 0, so that nothing opposes the label: {', '.join(unsigned)}.")
        if "abele-median" in self.maps:
            lines.append(
                f"{title['abele-median']}, shows what may vary while the label stays: red may be darker, blue brighter."
            )
        return lines + [f"Left out: {titles}: {reason}." for titles, reason in self.reasons().items()]

    def reasons(self) -> dict[str, str]:
        """Why methods were left out: what they say, under the titles of all that say the same."""
        return grouped(self.left_out, self.titles)

    @checked
    def plot(self, overlay: bool = True, columns: Annotated[int, between(1, 100)] = 7) -> "Figure":
        """All maps on one scale as one figure, to be shown by a notebook or saved with ``.savefig(path)``.

        Args:
            overlay: draw the maps over a pale copy of the image instead of on white.
            columns: most methods side by side; more are continued below.

        Raises:
            ParameterError: no columns.
        """
        from ..views.plots import plot_comparison

        return plot_comparison(self, overlay, columns)

    @checked
    def repeats(self, other: "Comparison") -> bool:
        """Whether both are results of one question: equal seeds, names and arrays, but for the times they took."""
        asked = [(c.params["random_state"], c.class_names, c.maps.keys(), c.left_out.keys()) for c in (self, other)]
        return asked[0] == asked[1] and same_arrays(self._arrays(), other._arrays())

    @checked
    def save(self, path: str | Path) -> Path:
        """Write all of it to an ``.npz`` file (atomically) that :meth:`load` reads back exactly.

        Arrays stand in it under their own names: ``images``, ``labels``, ``scores``, ``maps.NAME``, ``seconds.NAME``;
        all else is JSON in ``comparison``. A file of that name is replaced.

        Raises:
            PlaceError: a folder, link, device or write-protected file has the name.
            OSError: the file cannot be written.
        """
        arrays = self._arrays()
        arrays |= {f"seconds.{name}": values for name, values in self.seconds.items()}
        rest = {name: getattr(self, name) for name in ("class_names", "titles", "left_out", "params", "provenance")}
        path = Path(path)
        write_npz(path, arrays, {"comparison": {"schema": SCHEMA, "methods": list(self.maps), **rest}})
        return path

    def _arrays(self) -> dict[str, Tensor]:
        scores = {} if self.scores is None else {"scores": self.scores}
        maps = {f"maps.{name}": values for name, values in self.maps.items()}
        return {"images": self.images, "labels": self.labels} | scores | maps

    @classmethod
    @checked
    def load(cls, path: str | Path) -> "Comparison":
        """Read what :meth:`save` wrote.

        Raises:
            DataError: no such file, or it is damaged or not a comparison.
        """
        try:
            found, (rest,) = read_npz(path, "comparison")
            arrays = {name: torch.from_numpy(array) for name, array in found.items()}
            schema, names = rest.pop("schema"), rest.pop("methods")
            if schema != SCHEMA:
                raise ValueError(f"schema {schema}, this version reads {SCHEMA}; update abele_py")
            return cls(
                **(rest | {"class_names": tuple(rest["class_names"])}),
                images=arrays["images"],
                labels=arrays["labels"],
                scores=arrays.get("scores"),
                maps={name: arrays[f"maps.{name}"] for name in names},
                seconds={name: arrays[f"seconds.{name}"] for name in names},
            )
        except Exception as error:  # whatever damaged or foreign bytes lead to in zlib, zip, numpy and JSON
            raise DataError(
                f"got {str(path)!r}, which is no readable comparison ({error}); expected an .npz written by "
                "Comparison.save; check the path, or compare again"
            ) from error

    def __str__(self) -> str:
        width = max(len(self.titles[name]) for name in self.maps)
        predicted = ", ".join(self.predicted(i) for i in range(len(self)))
        lines = [f"the black box predicts {predicted}", f"{'method':{width}}  seconds" + " per image" * (len(self) > 1)]
        lines += [f"{self.titles[name]:{width}}  {float(s.mean()):7.3f}" for name, s in self.seconds.items()]
        lines += [f"left out: {titles}: {reason}" for titles, reason in self.reasons().items()]
        return "\n".join(lines)

    __repr__ = __str__


@checked
def compare(
    images: Any,
    black_box: Any,
    autoencoder: Autoencoder,
    methods: str | Sequence[str] = (),
    random_state: SmallSeed = 0,
    batch_size: Count = 256,
    class_names: ClassNames = None,
    *,
    progress: bool | Callable[[str], object] = False,
) -> Comparison:
    """What ABELE and the field's other explainers say of the same decisions.

    A method that cannot be used with this black box, or without the extra ``[compare]``, is left out with its reason.

    Args:
        images: one (C, H, W) or several (N, C, H, W), also as a list; float tensors or arrays in [0, 1].
        black_box: as of :class:`~abele_py.Abele`; methods that need gradients need a torch module.
        autoencoder: as of :class:`~abele_py.Abele`.
        methods: keys of ``attribution.METHODS``, ``"abele"``, ``"abele-median"``; all if none is named.
        random_state: seed of every method that draws; the same seed gives the same maps.
        batch_size: most images in one call of the black box or the autoencoder.
        class_names: as of :class:`~abele_py.Abele`.
        progress: show a bar on standard error, where that is a terminal; or a function that is given the title of each
            method before it begins, and may end the comparison by raising.

    Raises:
        UnknownNameError, ParameterError: no such methods or options.
        ImageError: an image cannot be used.
        BlackBoxError, AutoencoderError: the black box is no classifier, or the autoencoder breaks its protocol.
        AbeleError: no method gave a map; the first one's reason.
    """
    chosen = methods_of(autoencoder, methods, random_state)
    box = BlackBox(black_box, batch_size, class_names)
    space = LatentSpace(autoencoder, box)
    batch = _checked(images, space.image_shape)
    # With others: of one image alone nobody can tell whether scores are probabilities.
    box.probe(torch.cat([batch, space.decode(space.reference_latents[:15])]))
    answer = box(batch)

    _import_libraries(chosen.values())
    found: dict[str, tuple[Tensor, Tensor]] = {}
    failed: dict[str, AbeleError] = {}
    quiet = None if progress is True else True  # None: where standard error is no terminal
    with tqdm(total=len(chosen) * len(batch), unit="map", leave=False, disable=quiet) as bar:
        for name, method in chosen.items():
            bar.set_description(method.title)
            if callable(progress):
                progress(method.title)
            try:
                if name in found:  # read from the explanations of another of ABELE's methods
                    bar.update(len(batch))
                elif method.read is None:
                    found[name] = _maps(method, batch, box, answer.labels.tolist(), bar)
                else:
                    explainers = AbeleMaps(autoencoder, random_state=random_state)
                    found |= _own_maps(chosen, explainers, batch, box, bar)
            except (BlackBoxError, MissingExtraError, NeighborhoodError) as error:
                failed[name] = error
    if not found:
        raise next(iter(failed.values()))
    return Comparison(
        images=batch,
        labels=answer.labels,
        scores=answer.scores,
        class_names=box.class_names,
        titles={name: method.title for name, method in chosen.items()},
        maps={name: found[name][0] for name in chosen if name in found},
        seconds={name: found[name][1] for name in chosen if name in found},
        left_out={name: str(error) for name, error in failed.items()},
        params={
            "random_state": int(random_state),
            "black_box_answers": box.answers,
            "sources": {name: method.source for name, method in chosen.items()},
            "versions": versions("abele-py", "torch", "numpy", "scikit-learn", "captum", "scikit-image"),
        },
        provenance={
            "black_box": origin_of(black_box),
            "autoencoder": origin_of(autoencoder),
            "images": [origin_of_image(image) for image in batch],
        },
    )


def _checked(images: Any, shape: tuple[int, int, int]) -> Tensor:
    """One image or several, each checked, as an own (N, C, H, W)."""
    several = isinstance(images, (list, tuple)) or getattr(images, "ndim", 0) == len(shape) + 1
    batch = [check_image(image, shape) for image in (images if several else [images])]
    if not batch:
        raise ImageError(f"got no image; expected one of shape {shape} or several; pass at least one")
    return torch.stack(batch)


def _import_libraries(methods: Iterable[Method]) -> None:
    """What takes a second to import is imported before any method's time is taken."""
    if any(method.family in ("gradient", "superpixel") for method in methods):
        for library in ("captum.attr", "skimage.segmentation"):
            with suppress(ImportError):  # the method that needs it says so
                import_module(library)


def _maps(method: Method, images: Tensor, box: BlackBox, labels: list[int], bar: Any) -> tuple[Tensor, Tensor]:
    """The method's maps (N, H, W), and the seconds (N,) that each took."""
    maps, seconds = [], []
    for image, label in zip(images, labels, strict=True):
        start = perf_counter()
        maps.append(method(image.clone(), box, label))
        seconds.append(perf_counter() - start)
        bar.update()
    return torch.stack(maps), torch.tensor(seconds, dtype=torch.float64)


def _own_maps(
    methods: Mapping[str, Method], explainers: AbeleMaps, images: Tensor, box: BlackBox, bar: Any
) -> dict[str, tuple[Tensor, Tensor]]:
    """The maps (N, H, W) of all of ABELE's methods, and the seconds (N,) of the explanations they are read from."""
    readers = {name: method.read for name, method in methods.items() if method.read is not None}
    maps: dict[str, list[Tensor]] = {name: [] for name in readers}
    seconds = []
    for image in images:
        start = perf_counter()
        explanation = explainers.explainer(box).explain(image.clone())
        for name, read in readers.items():
            maps[name].append(read(explanation))
        seconds.append(perf_counter() - start)
        bar.update()
    return {name: (torch.stack(some), torch.tensor(seconds, dtype=torch.float64)) for name, some in maps.items()}
