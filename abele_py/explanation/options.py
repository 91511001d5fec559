"""Options of an explanation: one frozen record, its presets, and every check and conversion of what users give."""

import math
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any, Literal, get_args

from ..errors import ParameterError, unknown_name
from ..latent.neighborhood import Hybrid, Local, Strategy, strategy

Saliency = Literal["mosaic", "contrast", "median"]
Splits = Literal["oblique", "axis"]
Preset = Literal["default", "paper"]

_CHOICES = {"saliency": get_args(Saliency), "splits": get_args(Splits)}
_LEAST = {"n_samples": 10, "n_exemplars": 1, "n_frames": 2, "n_landmarks": 0}  # whole numbers: the smallest


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"got {name}={value!r}; expected a number; pass one") from error


def _whole(name: str, value: Any, expected: str) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise ParameterError(f"got {name}={value}; expected a whole number of {expected}; round it")
    return int(value)


def _between(name: str, value: Any, low: float, high: float, hint: str) -> float:
    number = _number(name, value)
    if not low <= number <= high:
        raise ParameterError(f"got {name}={number}; expected a value in [{low}, {high}]; {hint}")
    return number


@dataclass(frozen=True)
class Options:
    """All options that decide what an explanation is; :class:`~abele_py.Abele` says what each means.

    Numbers may be numpy's; they become Python's. Defaults are the values that the results were measured with.

    Raises:
        ParameterError, UnknownNameError: a value that cannot be.
    """

    preset: Preset = "default"
    neighborhood: Strategy = Local()  # noqa: RUF009 - frozen
    n_samples: int = 1000
    random_state: int = 0
    n_exemplars: int = 16
    n_frames: int = 8
    min_class_fraction: float = 0.1
    validity_threshold: float | None = None
    kernel_width: float | None = None
    saliency: Saliency = "mosaic"
    splits: Splits = "oblique"
    n_landmarks: int = 2000
    counter_depth: float | None = 0.35
    real_codes: bool = True

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {"neighborhood": strategy(self.neighborhood), "real_codes": bool(self.real_codes)}
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        for name, least in _LEAST.items():
            checked[name] = _whole(name, getattr(self, name), f"at least {least}")
            if checked[name] < least:
                raise ParameterError(f"got {name}={checked[name]}; expected at least {least}; pass a larger one")
        checked["random_state"] = seed = _whole("random_state", self.random_state, "at most 63 bits")
        if not -(2**63) <= seed < 2**63:
            raise ParameterError(f"got random_state={seed}; expected a whole number of at most 63 bits; 0 will do")
        checked["min_class_fraction"] = _between("min_class_fraction", self.min_class_fraction, 0, 0.5, "0.1 is usual")
        if self.counter_depth is not None:
            checked["counter_depth"] = _between(
                "counter_depth", self.counter_depth, 0, 1,
                "0 stays at the boundary, 1 goes all the way to a real image",
            )  # fmt: skip
        if self.kernel_width is not None:
            checked["kernel_width"] = width = _number("kernel_width", self.kernel_width)
            if not 0 < width < math.inf:
                raise ParameterError(f"got kernel_width={width}; expected a finite number above 0; leave it out")
        if self.validity_threshold is not None:
            checked["validity_threshold"] = threshold = _number("validity_threshold", self.validity_threshold)
            if not math.isfinite(threshold):
                raise ParameterError(
                    f"got validity_threshold={threshold}; expected a finite number; 0 accepts every point"
                )
        for name, value in checked.items():
            object.__setattr__(self, name, value)

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
        preset="paper", neighborhood=Hybrid(), saliency="median", splits="axis", n_landmarks=0, counter_depth=None,
        real_codes=False,
    ),  # Guidotti et al. 2019; its kernel's width depends on the latent space, see `options_of`
}  # fmt: skip


def options_of(preset: str, latent_dim: int, **given: Any) -> Options:
    """A preset's options, and in place of them those that are given and not None.

    The width of the paper's kernel is ``0.75 sqrt(k)`` (Guidotti et al. 2018, as LORE has it).

    Args:
        preset: a key of ``PRESETS``.
        latent_dim: k.
        given: fields of :class:`Options`; a neighborhood may be given by its name.

    Raises:
        ParameterError, UnknownNameError: a value that cannot be, or no such preset.
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if preset == "paper" and given.get("kernel_width") is None:
        given["kernel_width"] = 0.75 * math.sqrt(latent_dim)
    return replace(PRESETS[preset], **{name: value for name, value in given.items() if value is not None})
