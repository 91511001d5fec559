"""One image: from a picture file, an array file or an array to a checked (C, H, W) float32 tensor in [0, 1]."""

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..checking.parameters import checked
from ..errors import ImageError
from ..storage.files import read_array
from ..storage.reading import check_regular

# Decoders that are part of Pillow, and start nothing: it would run Ghostscript on an EPS, whatever the file is called.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MOST_PIXELS = 50_000_000  # a telephone's largest; decoded, up to 1 GB
MOST_BYTES = 256 * 2**20  # of a picture file: as many pixels, not compressed
ALIKE = 0.1  # pixels that differ by less look all the same
DIM = 16  # of 255: 8-bit pixels up to this are nearly black, and likely to have another white

_NUMPY = b"\x93NUMPY"
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # PNG, JPEG, GIF, BMP, TIFF


def check_image(image: Any, shape: tuple[int, int, int]) -> Tensor:
    """The image as an own float32 tensor, if it has the shape (C, H, W) and lies in [0, 1].

    A path is read as :func:`read_image` reads it, and a picture of Pillow's likewise.

    Raises:
        ImageError: otherwise.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image), shape)
    if isinstance(image, Image.Image):
        return _of_picture(image, shape)
    if not isinstance(image, (Tensor, np.ndarray)):
        raise ImageError(
            f"got an image of type {type(image).__name__}; expected a tensor or array of shape {shape}, a picture of "
            "Pillow's, or the path of a file; convert it"
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
            f"{_float_hint(value)}"
        )
    if value.numel() == 0:
        raise ImageError(f"got an image of shape {tuple(value.shape)}, without pixels; expected {shape}; save it again")
    if not bool(torch.isfinite(value).all()):
        raise ImageError("got an image with NaN or infinite pixels; expected values in [0, 1]; repair the image")
    low, high = float(value.min()), float(value.max())
    if low < 0 or high > 1:
        raise ImageError(f"got pixels from {low:.4g} to {high:.4g}; expected [0, 1]; {range_hint(low, high)}")
    return value.cpu().to(torch.float32, copy=True).contiguous()


@checked
def read_image(path: str | Path, shape: tuple[int, int, int], resize: bool = False) -> Tensor:
    """Read a picture (PNG, JPEG, ...) or an ``.npy`` array as a (C, H, W) float32 tensor in [0, 1].

    Colours become grey where C is 1 and grey becomes colours where C is 3; 8-bit pixels are divided by 255. An array
    may lack the channel axis or have it last; one of truths, or of 8-bit numbers that are all 0 or 1, is read as it is.
    What is transparent in a picture lies on black, or on white where it could not be seen on black; of several frames
    the first is read. Both of the last are told as a warning.

    Args:
        path: the file.
        shape: the (C, H, W) it must have.
        resize: scale a picture of another size to (H, W) instead of refusing it.

    Raises:
        ImageError: no such file, not a picture, truncated, of more than ``MOST_PIXELS``, of another size (unless
            ``resize``), or out of range; or 8-bit numbers of at most 16, for which white may be anything.
    """
    found = read_image_file(path, shape, resize)
    for note in found.notes:
        warnings.warn(f"{Path(path).name}: {note}", stacklevel=3)
    return found.image


class ImageFile(NamedTuple):
    """An image as it was read from a file.

    Attributes:
        image: (C, H, W) float32 in [0, 1].
        width, height: of what the file holds, in pixels.
        notes: what was done to it that a user should know.
    """

    image: Tensor
    width: int
    height: int
    notes: tuple[str, ...]


@checked
def read_image_file(path: str | Path, shape: tuple[int, int, int], resize: bool = False) -> ImageFile:
    """The image as :func:`read_image` reads it, and what the file holds; parameters and errors are the same."""
    path, notes = Path(path), list[str]()
    if not os.path.isfile(path):  # unlike Path.is_file no error for a name that is too long
        raise ImageError(f"got the path {str(path)!r}; expected a picture or .npy file that exists; check the path")
    if path.stat().st_size == 0:
        raise ImageError(f"got an empty file {path.name!r}; expected a picture; save it again")
    _check_suffix(path)
    if path.suffix == ".npy":
        value = _channels_first(_read_array(path), shape)
        value = _in_range(value, path.name) if value.dtype in (np.uint8, np.bool_) and value.size else value
    else:
        picture = read_picture(path, shape[0])
        value, notes = picture.pixels, list(picture.notes)
    size = value.shape[-2:]
    if value.ndim == 3 and size != shape[1:] and not resize:
        raise ImageError(
            f"got a picture of {size[1]}x{size[0]} pixels; expected {shape[2]}x{shape[1]}; pass --resize, or "
            "resize=True to read_image, to scale it"
        )
    if value.ndim == 3 and value.dtype == np.uint8:
        image = check_image(scaled(value, shape[1:]), shape)
    elif value.ndim == 3 and size != shape[1:]:  # checked before scaling, which would hide a wrong range
        image = check_image(resized(check_image(value, value.shape), shape[1:]), shape)
    else:
        image = check_image(value, shape)
    return ImageFile(image, size[1], size[0], tuple(notes))


def is_blank(image: Tensor) -> bool:
    """Whether the pixels of an image differ so little that nothing can be seen on it."""
    low, high = image.aminmax()
    return float(high - low) < ALIKE


def range_hint(low: float, high: float) -> str:
    """What to do with pixels that do not lie in [0, 1]: by their values, for their type says little."""
    if low < 0:
        return "undo the normalisation (it belongs inside the black box)"
    if high > 255:
        return "divide by the largest value that a pixel can have, such as 65535 for 16 bits"
    if high > DIM:
        return "divide by 255"
    return (
        "divide by the largest value that a pixel can have, such as 16 for scikit-learn's digits (by 255, it would be "
        "nearly black), or undo the normalisation"
    )


def white_of(high: int) -> int:
    """What is white in 8-bit numbers of which the largest is ``high``: 1 or 255.

    Raises:
        ValueError: it may be either, or 16: as much as 16 of 255 is nearly black.
    """
    if 1 < high <= DIM:
        raise ValueError(f"8-bit pixels from 0 to {high}: nearly black if white is 255, a picture if white is {high}")
    return 1 if high == 1 else 255


def _in_range(value: np.ndarray, name: str) -> np.ndarray:
    """8-bit numbers or truths, which may be masks, as 8-bit pixels."""
    value = value.astype(np.uint8)
    try:
        return value * np.uint8(255 // white_of(int(value.max())))
    except ValueError as error:
        raise ImageError(
            f"got {error} ({name!r}); expected to know what is white; save it as floats in [0, 1], divided by that"
        ) from None


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


def _float_hint(image: Tensor) -> str:
    if image.is_complex() or image.numel() == 0:
        return "convert it"
    low, high = int(image.min()), int(image.max())
    if image.dtype == torch.bool or (low, high) == (0, 1):
        return "0 and 1 become floats with image.astype(float), or image.float()"
    return range_hint(low, high) if high else "divide 8-bit pixels by 255"


def _hint(got: tuple[int, ...], shape: tuple[int, int, int]) -> str:
    if got == shape[1:]:
        return "; add the channel axis: image[None]"
    if got == (*shape[1:], shape[0]):
        return "; put the channels first: image.transpose(2, 0, 1)"
    if got[1:] == shape:
        return "; take one: images[0], or explain all with explain_many(images)"
    return "; resize or convert it, or use an autoencoder for such images"


def _read_array(path: Path) -> np.ndarray:
    if zipfile.is_zipfile(path):
        raise ImageError(f"got {path.name!r}, an archive without an array of its own; save one with numpy.save")
    try:
        value = read_array(path)
    except Exception as error:  # whatever a damaged header leads to, also MemoryError
        raise ImageError(
            f"got {path.name!r}, which is no readable .npy array of numbers ({error}); save it with numpy.save"
        ) from error
    if value.dtype.kind not in "fiub":
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
        ground: what its transparent parts lie on, "black" or "white"; empty where all of it is opaque.
        n_frames: of which the first was decoded.
    """

    pixels: np.ndarray
    ground: str = ""
    n_frames: int = 1

    @property
    def notes(self) -> list[str]:
        """What its reader may not expect, in words."""
        on_white = ["put on white: parts are transparent, and what is drawn could not be seen on black"]
        frames = [f"the first of its {self.n_frames} frames was read"]
        return (on_white if self.ground == "white" else []) + (frames if self.n_frames > 1 else [])


def read_picture(path: Path, channels: int | None = None) -> Picture:
    """Decode a picture file, upright as its EXIF says, transparent parts on black, or on white if nothing shows there.

    Args:
        path: the file.
        channels: 1 or 3; None: 1 where the file stores grey, else 3.

    Raises:
        ImageError: not a picture of one of :data:`FORMATS`, truncated, of more than 8 bits per channel, or of more
            than ``MOST_PIXELS``.
    """
    try:
        check_regular(path, MOST_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # looser, unless its user has set it
            with Image.open(path, formats=FORMATS) as picture:
                return _decoded(picture, path.name, channels)
    except ImageError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path.name, "too many") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageError(
            f"got {path.name!r}, which is not a readable picture ({error}); expected {', '.join(FORMATS)} or .npy; "
            "save it again"
        ) from error


def _of_picture(picture: Image.Image, shape: tuple[int, int, int]) -> Tensor:
    """A picture that its user has opened, and that stays as it is."""
    try:
        found = _decoded(picture, "a picture", shape[0])
    except ImageError:
        raise
    except Exception as error:  # it is decoded only now, and its file may be damaged, or closed
        raise ImageError(f"got a picture that cannot be decoded ({error}); expected one that is open") from error
    for note in found.notes:
        warnings.warn(f"a picture: {note}", stacklevel=2)
    if found.pixels.shape[1:] != tuple(shape[1:]):
        raise ImageError(
            f"got a picture of {found.pixels.shape[2]}x{found.pixels.shape[1]} pixels; expected {shape[2]}x{shape[1]}; "
            f"scale it, as picture.resize(({shape[2]}, {shape[1]})) does"
        )
    return check_image(scaled(found.pixels, shape[1:]), shape)


def _decoded(picture: Image.Image, name: str, channels: int | None) -> Picture:
    """As :func:`read_picture`."""
    if channels not in (None, 1, 3):
        raise ImageError(
            f"got a picture for an autoencoder with {channels} channels; expected 1 or 3; pass an .npy array"
        )
    if picture.width * picture.height > MOST_PIXELS:  # known before a pixel is decoded
        raise _too_large(name, f"{picture.width}x{picture.height}")
    if picture.mode[0] in "IF":  # PIL would clip these to 255 instead of scaling them
        raise ImageError(
            f"got a picture of mode {picture.mode}; expected 8 bits per channel; convert it, or pass an .npy in [0, 1]"
        )
    grey = picture.mode in ("1", "L", "LA") if channels is None else channels == 1
    # an MPO is a camera's JPEG with its own previews
    n_frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    upright, ground = _on_ground(ImageOps.exif_transpose(picture))
    value = np.asarray(upright.convert("L" if grey else "RGB"))
    return Picture(value[None] if grey else value.transpose(2, 0, 1), ground, n_frames)


def _too_large(name: str, size: str) -> ImageError:
    return ImageError(
        f"got {name!r} of {size} pixels; expected at most {MOST_PIXELS // 10**6} million; scale it down first"
    )


def _on_ground(picture: Image.Image) -> tuple[Image.Image, str]:
    """The picture without transparency, and the ground it was put on: what lies under it is no part of what one sees.

    Black, as around most digits and letters of data sets; white where all that is drawn would be as dark as that.
    """
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture, ""
    layered = picture.convert("RGBA")
    if layered.getchannel("A").getextrema()[0] == 255:
        return picture, ""
    on_black = _composite(layered, 0)
    if _contrast(on_black) < 255 * ALIKE <= _contrast(on_white := _composite(layered, 255)):
        return on_white, "white"
    return on_black, "black"


def _composite(layered: Image.Image, level: int) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", layered.size, (level, level, level, 255)), layered)


def _contrast(picture: Image.Image) -> int:
    low, high = picture.convert("L").getextrema()
    return int(high) - int(low)  # type: ignore[arg-type]


def scaled(pixels: np.ndarray, size: tuple[int, int]) -> Tensor:
    """(C, H, W) uint8 -> (C, *size) float32 in [0, 1], as :func:`resized`; one channel at a time, to save memory."""
    units = (torch.from_numpy(np.array(channel)).float().div_(255)[None] for channel in pixels)
    return torch.cat([unit if unit.shape[1:] == size else resized(unit, size) for unit in units])


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(C, H, W) -> (C, *size), bilinear with antialiasing, so that thin strokes survive a large reduction."""
    return torch.nn.functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
