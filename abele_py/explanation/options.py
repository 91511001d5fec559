"""Options of an explanation: one frozen record, and its presets."""

import math
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, Literal

from ..checking.parameters import Count, Number, Positive, Seed, Share, between, checked
from ..latent.neighborhood import Between, Hybrid, Local, Strategy, strategy

Saliency = Literal["mosaic", "contrast", "median"]
Splits = Literal["oblique", "axis"]
CounterSearch = Literal["descent", "line"]
Preset = Literal["default", "paper"]

MOST_FOR_A_BALL = 32  # latent coordinates; of more, a ball is empty (docs/experiments.md)

Samples = Annotated[int, between(10, 10**6)]
Exemplars = Annotated[int, between(1, 10**4)]
Frames = Annotated[int, between(2, 1000)]
Landmarks = Number
ClassFraction = Annotated[float, between(0, 0.5)]


@checked
@dataclass(frozen=True)
class Options:
    """All options that decide what an explanation is; :class:`~abele_py.Abele` says what each means.

    Numbers may be numpy's; they become Python's. Defaults are the values that the results were measured with.

    Raises:
        ParameterError, UnknownNameError: a value that cannot be.
    """

    preset: Preset = "default"
    neighborhood: Strategy = Local()  # noqa: RUF009 - frozen
    n_samples: Samples = 1000
    random_state: Seed = 0
    n_exemplars: Exemplars = 16
    n_frames: Frames = 8
    min_class_fraction: ClassFraction = 0.1
    validity_threshold: float | None = None
    kernel_width: Positive | None = None
    saliency: Saliency = "mosaic"
    splits: Splits = "oblique"
    n_landmarks: Landmarks = 2000
    counter_search: CounterSearch = "descent"
    counter_depth: Share | None = 0.35
    real_codes: bool = True
    detail: Share = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "neighborhood", strategy(self.neighborhood))

    def as_params(self) -> dict[str, Any]:
        """The options as they are kept with an explanation: numbers, texts, and the neighborhood's own options."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        own: dict[str, Any] = {}
        if is_dataclass(self.neighborhood) and not isinstance(self.neighborhood, type):
            own = asdict(self.neighborhood)
        return values | {"neighborhood": {"strategy": type(self.neighborhood).__name__, **own}}


PRESETS: dict[Preset, Options] = {
    "default": Options(),  # what was measured to be better
    "paper": Options(
        preset="paper", neighborhood=Hybrid(), saliency="median", splits="axis", n_landmarks=0,
        counter_search="line", counter_depth=None, real_codes=False, detail=0.0,
    ),  # Guidotti et al. 2019; its kernel's width depends on the latent space, see `options_of`
}  # fmt: skip


@checked
def options_of(preset: Preset, latent_dim: Count, **given: Any) -> Options:
    """A preset's options, and in place of them those that are given and not None.

    Two depend on the number of coordinates k: the width of the paper's kernel is ``0.75 sqrt(k)`` (Guidotti et al.
    2018, as LORE has it), and the default neighborhood of more than 32 coordinates is ``Between``. And where a depth of
    counter-exemplars is given, they are looked for on the line that it is a share of.

    Args:
        preset: a key of ``PRESETS``.
        latent_dim: k.
        given: fields of :class:`Options`; a neighborhood may be given by its name.

    Raises:
        ParameterError, UnknownNameError: a value that cannot be, or no such preset.
    """
    if preset == "paper" and given.get("kernel_width") is None:
        given["kernel_width"] = 0.75 * math.sqrt(latent_dim)
    if preset == "default" and given.get("neighborhood") is None and latent_dim > MOST_FOR_A_BALL:
        given["neighborhood"] = Between()
    if given.get("counter_depth") is not None and given.get("counter_search") is None:
        given["counter_search"] = "line"
    return replace(PRESETS[preset], **{name: value for name, value in given.items() if value is not None})
