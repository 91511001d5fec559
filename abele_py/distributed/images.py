"""Images of a data set, in a fixed order: those of a split, of a folder of pictures, or of arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..datasets.folders import Left, pictures_in
from ..datasets.images import read_image_file
from ..datasets.loading import dataset_of, load_split
from ..datasets.records import ImageSet, to_unit
from ..errors import AbeleError, DataError, ParameterError


class Listed(NamedTuple):
    """One image of a data set.

    Attributes:
        index: its number in the run.
        name: what it is called: a path under the folder, or ``DATASET:SPLIT:INDEX``.
        image: (C, H, W) in [0, 1], or why it cannot be read.
        true_label: what is known of it, as a label of the black box; None where nothing is.
    """

    index: int
    name: str
    image: Tensor | AbeleError
    true_label: int | None
