"""Pictures inside a page: images and signed maps as data, a scatter plot and a line chart as SVG. Nothing is loaded."""

import base64
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..datasets.encoding import encoded, file_of
from .html import Html, tag

# ColorBrewer's RdBu, from -1 to 1: diverging, neutral at 0, told apart by people who confuse red and green.
DIVERGING = (
    "#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7",
    "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f",
)  # fmt: skip
# Shapes differ where colours do (Okabe & Ito's, without yellow and black): no label is known by its colour alone.
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "wedge", "saltire")
N_COLORS = 6  # --c0 to --c5 of page.css


def data_uri(image: Tensor, room: int = 40_000) -> str:
    """An image (C, H, W) in [0, 1], grey or in colour, as a ``data:`` address of about ``room`` bytes at most.

    PNG, exact to 1/255, for a small image where that fits; else JPEG, scaled down as far as it must be.
    """
    content = encoded(image, room)
    return _address(content, "png" if content.startswith(b"\x89PNG") else "jpeg")


def map_uri(values: Tensor) -> str:
    """A signed map (H, W) in [-1, 1] as a ``data:`` address: colours of :data:`DIVERGING`, transparent at 0."""
    stops = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in DIVERGING])
    v = values.clamp(-1, 1).numpy().astype(np.float64)
    channels = [np.interp(v, np.linspace(-1, 1, len(stops)), stops[:, i]) for i in range(3)]
    pixels = np.stack([*channels, 255 * np.abs(v) ** 0.5], axis=2).round().astype(np.uint8)
    return _address(file_of(Image.fromarray(pixels, "RGBA"), "PNG", optimize=True), "png")


def pale(image: Tensor) -> Tensor:
    """A pale copy of an image (C, H, W) as the ground of a map, grey (1, H, W)."""
    return 1 - 0.3 * image.mean(dim=0, keepdim=True)


def bytes_of(values: Tensor) -> str:
    """A signed map (H, W) in [-1, 1] as signed bytes in base64, for scripts."""
    return base64.b64encode((127 * values.clamp(-1, 1)).round().to(torch.int8).numpy().tobytes()).decode()


def scatter(
    groups: Sequence[tuple[str, int, Tensor]], marks: Sequence[tuple[str, Tensor]], center: Tensor, title: str
) -> Html:
    """Points of a plane as SVG, both axes on one scale, with a bar of length 1.

    Args:
        groups: of each label its name, its number among colours and shapes (-1: grey), and points (n, 2), drawn in
            this order.
        marks: points (2,) with names, such as counter-exemplars.
        center: (2,) a point that is marked as the image.
        title: what it shows, in words.
    """
    everything = torch.cat([*(points for _, _, points in groups), *(at[None] for _, at in marks), center[None]])
    low, high = everything.amin(dim=0), everything.amax(dim=0)
    width, height, edge = 900.0, 560.0, 24.0
    spread = (high - low).clamp(min=1e-9)
    scale = min(float((width - 2 * edge) / spread[0]), float((height - 2 * edge) / spread[1]))
    middle = (high + low) / 2

    def at(point: Tensor) -> tuple[float, float]:
        x, y = ((point - middle) * scale).tolist()
        return width / 2 + x, height / 2 - y

    drawn = [
        tag(
            "g",
            (tag("use", href=f"#{shape_of(number)}", x=f"{x:.0f}", y=f"{y:.0f}") for x, y in map(at, points)),
            class_=f"points {color_of(number)}",
            data_group=number,
        )
        for name, number, points in groups
    ]
    for name, point in marks:
        x, y = at(point)
        drawn.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=8, class_="mark"))
        drawn.append(tag("text", short(name), x=f"{x + 11:.1f}", y=f"{y + 5:.1f}", class_="mark-name"))
    x, y = at(center)
    drawn.append(tag("path", d=_star(x, y, 13), class_="here"))
    bar = _round(60 / scale)
    drawn.append(
        tag(
            "g",
            tag("path", d=f"M16 {height - 16:.0f}h{bar * scale:.1f}m0 -5v10m{-bar * scale:.1f} 0v-10"),
            tag("text", f"distance {bar:g}", x=f"{24 + bar * scale:.0f}", y=f"{height - 11:.0f}"),
            class_="scale",
        )
    )
    return tag("svg", _symbols(), drawn, viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", aria_label=title)


def chart(lines: Sequence[Sequence[float]], title: str) -> Html:
    """Scores along a way as SVG: lines of equal length, the first solid, the others dashed."""
    values = [v for line in lines for v in line]
    low, high = min(*values, 0.0), max(*values, 0.0)
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    left, right, top, bottom = 30.0, 192.0, 8.0, 100.0
    steps = max(1, len(lines[0]) - 1)

    def at(i: int, value: float) -> str:
        return f"{left + (right - left) * i / steps:.1f} {bottom - (bottom - top) * (value - low) / (high - low):.1f}"

    ticks = [low, (low + high) / 2, high]
    drawn = [tag("path", d=f"M{at(0, t)}H{right:.0f}", class_="grid") for t in ticks]
    drawn += [tag("text", f"{t:.2g}", x=left - 6, y=at(0, t).split()[1], class_="tick") for t in ticks]
    drawn.append(tag("path", d=f"M{right:.1f} {top}V{bottom}", class_="cursor", data_left=left, data_right=right))
    for number, line in enumerate(lines):
        d = "M" + "L".join(at(i, v) for i, v in enumerate(line))
        drawn.append(tag("path", d=d, class_=f"line line{number}"))
    drawn.append(tag("text", "this image", x=left, y=117, class_="from"))
    drawn.append(tag("text", "counter-exemplar", x=right, y=117, class_="to"))
    return tag("svg", drawn, viewBox="0 0 200 124", role="img", aria_label=title, class_="chart")


def swatch(number: int) -> Html:
    """The shape and colour of one group, for a legend."""
    use = tag("use", href=f"#{shape_of(number)}", x=8, y=8)
    return tag("svg", use, viewBox="0 0 16 16", class_=f"swatch {color_of(number)}", aria_hidden="true")


def shape_of(number: int) -> str:
    return SHAPES[max(number, 0) % len(SHAPES)]


def color_of(number: int) -> str:
    return "other" if number < 0 else f"c{number % N_COLORS}"


def _symbols() -> Html:
    paths = {
        "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
        "square": "M-3.5-3.5h7v7h-7z",
        "triangle": "M0-4.5L4.5 3.5H-4.5z",
        "diamond": "M0-5L4.5 0L0 5L-4.5 0z",
        "cross": "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
        "wedge": "M0 4.5L4.5-3.5H-4.5z",
        "saltire": "M-4-2L-2-4L0-2L2-4L4-2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0z",
    }
    return tag("defs", (tag("path", id=name, d=paths[name]) for name in SHAPES))


def _star(x: float, y: float, r: float) -> str:
    angles = np.pi * (np.arange(10) / 5 - 0.5)
    radii = np.where(np.arange(10) % 2, 0.42 * r, r)
    corners = zip(x + radii * np.cos(angles), y + radii * np.sin(angles), strict=True)
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in corners) + "Z"


def _round(length: float) -> float:
    """The largest of ..., 0.5, 1, 2, 5, 10, ... up to twice a length, at least it."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(next(f * power for f in (1, 2, 5, 10) if f * power >= length))


def short(name: str, width: int = 14) -> str:
    """The beginning of a name that is too long to be drawn."""
    return name if len(name) <= width else name[: width - 1] + "…"


def _address(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
