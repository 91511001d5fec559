"""Images as the bytes of a picture file, in as much room as there is."""

import io

from PIL import Image
from torch import Tensor

_GOOD_AS_PNG = 64  # pixels a side; larger images are encoded as photographs
_SMALLEST = 16  # pixels a side that an image is scaled down to


def encoded(image: Tensor, room: int) -> bytes:
    """An image (C, H, W) in [0, 1], grey or in colour, as a PNG or JPEG of about ``room`` bytes at most.

    PNG, exact to 1/255, for a small image where that fits; else JPEG, scaled down as far as it must be.
    """
    pixels = (255 * image.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] != 3 else pixels)
    if max(picture.size) <= _GOOD_AS_PNG:
        content = file_of(picture, "PNG", optimize=True)
        if len(content) <= room:
            return content
    content = file_of(picture, "JPEG", quality=85)
    while len(content) > room and max(picture.size) > _SMALLEST:
        share = min(0.8, (room / len(content)) ** 0.5)
        picture = picture.resize((max(1, int(picture.width * share)), max(1, int(picture.height * share))))
        content = file_of(picture, "JPEG", quality=85)
    return content


def file_of(picture: Image.Image, kind: str, **options: int | bool) -> bytes:
    """The bytes of a file of this kind, such as ``"PNG"``."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
