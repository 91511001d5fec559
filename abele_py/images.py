"""One image: from a picture file, an array file or an array to a checked (C, H, W) float32 tensor in [0, 1]."""

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .errors import ImageError
from .parameters import checked

_NUMPY = b"\x93NUMPY"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # PNG, JPEG, GIF, BMP, TIFF


def check_image(image: Any, shape: tuple[int, int, int]) -> Tensor:
    """The image as an own float32 tensor, if it has the shape (C, H, W) and lies in [0, 1].

    Raises:
        ImageError: otherwise.
    """
    if not isinstance(image, (Tensor, np.ndarray)):
        raise ImageError(
            f"got an image of type {type(image).__name__}; expected a tensor or array of shape {shape}; for a file use "
            "abele_py.read_image(path, shape)"
        )
    value = image.detach() if isinstance(image, Tensor) else _as_tensor(image)
    if tuple(value.shape) != tuple(shape):
        raise ImageError(
            f"got an image of shape {tuple(value.shape)}; expected (C, H, W) = {shape}, as the autoencoder was trained"
            f"{_hint(tuple(value.shape), shape)}"
        )
    if not value.is_floating_point():
        raise ImageError(
            f"got an image of {str(value.dtype).removeprefix('torch.')}; expected floats in [0, 1]; "
            "divide 8-bit pixels by 255"
        )
    if value.numel() == 0:
        raise ImageError(f"got an image of shape {tuple(value.shape)}, without pixels; expected {shape}; save it again")
    if not bool(torch.isfinite(value).all()):
        raise ImageError("got an image with NaN or infinite pixels; expected values in [0, 1]; repair the image")
    low, high = float(value.min()), float(value.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"got pixels from {low:.4g} to {high:.4g}; expected [0, 1]; undo the normalisation or divide by 255 "
            "(normalisation belongs inside the black box)"
        )
    return value.cpu().to(torch.float32, copy=True).contiguous()


@checked
def read_image(path: str | Path, shape: tuple[int, int, int], resize: bool = False) -> Tensor:
    """Read a picture (PNG, JPEG, ...) or an ``.npy`` array as a (C, H, W) float32 tensor in [0, 1].

    Colours become grey where C is 1 and grey becomes colours where C is 3; 8-bit pixels are divided by 255. An array
    may lack the channel axis or have it last. What is transparent in a picture lies on black.

    Args:
        path: the file.
        shape: the (C, H, W) it must have.
        resize: scale a picture of another size to (H, W) instead of refusing it.

    Raises:
        ImageError: no such file, not a picture, truncated, of another size (unless ``resize``), or out of range.
    """
    path = Path(path)
    if not os.path.isfile(path):  # unlike Path.is_file no error for a name that is too long
        raise ImageError(f"got the path {str(path)!r}; expected a picture or .npy file that exists; check the path")
    if path.stat().st_size == 0:
        raise ImageError(f"got an empty file {path.name!r}; expected a picture; save it again")
    _check_suffix(path)
    if path.suffix == ".npy":
        value = _channels_first(_read_array(path), shape)
    else:
        value = read_picture(path, shape[0]).pixels
    if value.dtype == np.uint8:
        value = value.astype(np.float32) / 255
    size = value.shape[-2:]
    if resize and value.ndim == 3 and size != shape[1:]:
        checked = check_image(value, value.shape)  # before scaling, which would hide a wrong range
        return check_image(resized(checked, shape[1:]), shape)
    if value.ndim == 3 and size != shape[1:]:
        raise ImageError(
            f"got a picture of {size[1]}x{size[0]} pixels; expected {shape[2]}x{shape[1]}; pass --resize "
            "(resize=True) to scale it"
        )
    return check_image(value, shape)


def _check_suffix(path: Path) -> None:
    """Refuse an array that is named as a picture, and a picture that is named as an array."""
    with path.open("rb") as file:
        head = file.read(8)
    is_array, is_picture = head.startswith(_NUMPY), head.startswith(_PICTURES)
    if is_array and path.suffix != ".npy":
        raise ImageError(f"got {path.name!r}, which holds a numpy array; expected a picture; rename it to end in .npy")
    if is_picture and path.suffix == ".npy":
        raise ImageError(f"got {path.name!r}, which holds a picture; expected a numpy array; rename it to end in .png")


def _as_tensor(image: np.ndarray) -> Tensor:
    """Any array of numbers, also a flipped one or one in another byte order, which torch does not take."""
    if image.dtype.kind not in "biufc":
        raise ImageError(
            f"got an image of {image.dtype}; expected floats in [0, 1]; convert it with image.astype(float)"
        )
    return torch.from_numpy(np.array(image, dtype=image.dtype.newbyteorder("="), order="C"))


def _hint(got: tuple[int, ...], shape: tuple[int, int, int]) -> str:
    if got == shape[1:]:
        return "; add the channel axis: image[None]"
    if got == (*shape[1:], shape[0]):
        return "; put the channels first: image.transpose(2, 0, 1)"
    if got[1:] == shape:
        return "; explain one image at a time: images[0]"
    return "; resize or convert it, or use an autoencoder for such images"


def _read_array(path: Path) -> np.ndarray:
    try:
        value = np.load(path, allow_pickle=False)
    except Exception as error:  # whatever a damaged header leads to, also MemoryError
        raise ImageError(
            f"got {path.name!r}, which is no readable .npy array of numbers ({error}); save it with numpy.save"
        ) from error
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ImageError(f"got {path.name!r} without an array of numbers; expected one image; save it with numpy.save")
    return value


def _channels_first(value: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    if value.ndim == 2 and shape[0] == 1:
        return value[None]
    if value.ndim == 3 and value.shape[0] != shape[0] and value.shape[2] == shape[0]:
        return value.transpose(2, 0, 1)
    return value


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        pixels: (C, H, W) uint8.
        transparent: whether any pixel was not opaque.
    """

    pixels: np.ndarray
    transparent: bool


def read_picture(path: Path, channels: int | None = None) -> Picture:
    """Decode a picture file, upright as its EXIF says, transparent parts on black.

    Args:
        path: the file.
        channels: 1 or 3; None: 1 where the file stores grey, else 3.

    Raises:
        ImageError: not a picture, truncated, or of more than 8 bits per channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if channels not in (None, 1, 3):
                    raise ImageError(
                        f"got a picture for an autoencoder with {channels} channels; expected 1 or 3; "
                        "pass an .npy array"
                    )
                if picture.mode[0] in "IF":  # PIL would clip these to 255 instead of scaling them
                    raise ImageError(
                        f"got a picture of mode {picture.mode}; expected 8 bits per channel; "
                        "convert it, or pass an .npy in [0, 1]"
                    )
                grey = picture.mode in ("1", "L", "LA") if channels is None else channels == 1
                upright, transparent = _on_black(ImageOps.exif_transpose(picture))
                value = np.asarray(upright.convert("L" if grey else "RGB"))
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageError(
            f"got {path.name!r}, which is not a readable picture ({error}); expected PNG, JPEG or .npy; save it again"
        ) from error
    return Picture(value[None] if grey else value.transpose(2, 0, 1), transparent)


def _on_black(picture: Image.Image) -> tuple[Image.Image, bool]:
    """The picture without transparency, and whether it had any: what lies under it is no part of what one sees."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture, False
    layered = picture.convert("RGBA")
    if layered.getchannel("A").getextrema()[0] == 255:
        return picture, False
    return Image.alpha_composite(Image.new("RGBA", layered.size, (0, 0, 0, 255)), layered), True


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, H, W) -> (C, *size), bilinear with antialiasing, so that thin strokes survive a large reduction."""
    return torch.nn.functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
