"""From a drawing to an image like those of a data set: the same size, place and blur of the ink."""

import base64
import binascii
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..datasets.images import resized
from ..errors import ImageError

LARGEST = 1000  # pixels a side of a drawing; the page's own canvas has 280
_PREFIX = "data:image/png;base64,"
_DRAW = "draw with the mouse, a pen or a finger"


def read_drawing(address: str) -> Tensor:
    """The ink of a drawing that a browser sends, (H, W) float32 in [0, 1], light on dark.

    Args:
        address: ``data:image/png;base64,...``, as a canvas writes it.

    Raises:
        ImageError: another text, or a picture that is damaged or too large.
    """
    try:
        if not address.startswith(_PREFIX):
            raise ValueError(f"it does not begin with {_PREFIX}")
        content = base64.b64decode(address.removeprefix(_PREFIX), validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if max(picture.size) > LARGEST:  # known before a pixel is decoded
                raise ValueError(f"it has {picture.width}x{picture.height} pixels, more than {LARGEST} a side")
            ink = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    except (ValueError, OSError, SyntaxError, binascii.Error) as error:  # Pillow's SyntaxError: a broken PNG
        raise ImageError(f"got no readable drawing ({error}); expected a PNG of the canvas; {_DRAW} again") from error
    return torch.from_numpy(ink)


def as_drawn(ink: Tensor, shape: tuple[int, int, int], box: int, detail: int) -> Tensor:
    """A drawing as an image (C, H, W) in [0, 1] of a data set, made as that data set was made.

    The ink is cut out and scaled, keeping its proportions, until its longer side fills ``box``; its centre of mass is
    put on the pixel in the middle, as far as nothing is cut off. (MNIST: 20 of 28 pixels. LeCun et al. 1998.)

    Args:
        ink: (H, W) in [0, 1], light on dark.
        shape: (C, H, W) of the data set's images, which are square.
        box: pixels that the longer side of the ink has in them.
        detail: pixels a side that the data set's images had before they were enlarged; H where they were not.

    Raises:
        ImageError: there is no ink.
    """
    side = shape[1]
    on = ink > 0.1
    rows, columns = (on.any(dim=d).nonzero().flatten() for d in (1, 0))
    if len(rows) == 0:
        raise ImageError(f"got an empty drawing; expected white lines on the black ground; {_DRAW}")
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = box * detail / (side * max(ink.shape))
    height, width = (max(1, round(n * scale)) for n in ink.shape)
    small = resized(ink[None], (height, width))
    middle = (side // 2 + 0.5) * detail / side
    top, left = (_offset(small[0].sum(dim=d), middle, detail) for d in (1, 0))
    image = torch.zeros(1, detail, detail)
    image[:, top : top + height, left : left + width] = small
    return resized(image, shape[1:]).expand(shape).contiguous()


def _offset(ink: Tensor, middle: float, room: int) -> int:
    """Where a profile of ink (n,) begins, so that its centre of mass is in the middle, as far as it fits the room."""
    centre = float((ink * torch.arange(0.5, len(ink))).sum() / ink.sum())
    return min(max(round(middle - centre), 0), room - len(ink))
