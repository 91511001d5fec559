"""A black box's answers, kept in a folder: what was asked before an interruption need not be asked again."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..provenance import hash_of_array
from ..storage.files import read_npz, write_json, write_npz
from ..storage.places import MARK, Kind, remove, signature
from .black_box import agree
from .outputs import Answer

PATTERN = "batch-*.npz"  # one for each batch of images; removed before the mark, which comes earlier in the alphabet
ANSWERS = Kind("folder of answers", lambda _: (PATTERN,), lambda place: signature(place).get("abele_py") == "answers")


class KeptAnswers:
    """Answers of one black box, a file for each batch of images, named by what was asked.

    Answers of another black box are removed. A file that is damaged is as if it were not there, and is replaced. Only
    one process may use the folder.

    Args:
        folder: theirs alone; made with the first answer.
        of: what tells the black box, and what runs it, from others: what JSON can say.

    Raises:
        PlaceError: the folder holds something else.
    """

    def __init__(self, folder: str | Path, of: Mapping[str, Any]) -> None:
        self._folder = Path(folder)
        self._mark = json.loads(json.dumps({"abele_py": "answers", "of": of}))
        if os.path.lexists(self._folder) and signature(self._folder) != self._mark:
            self.forget()

    def get(self, images: Tensor) -> Answer | None:
        """The answer to these images (N, C, H, W), if they were asked before, all in one batch."""
        with suppress(Exception):  # whatever damaged bytes lead to in zip, zlib and numpy
            arrays, (scale,) = read_npz(self._path(images), "scale")
            labels, scores = (
                torch.from_numpy(arrays[name]) if name in arrays else None for name in ("labels", "scores")
            )
            if labels is not None and {len(part) for part in (labels, scores) if part is not None} == {len(images)}:
                return Answer(labels, scores, scale)
        return None

    def put(self, images: Tensor, answer: Answer) -> None:
        """Keep the answer to these images."""
        if not (self._folder / MARK).exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._folder / MARK, self._mark)
        arrays = {"labels": answer.labels} | ({} if answer.scores is None else {"scores": answer.scores})
        write_npz(self._path(images), arrays, {"scale": answer.scale}, compressed=False)

    def check(self, images: Tensor, answer: Answer) -> None:
        """Forget all, where the black box now answers otherwise than it did."""
        before = self.get(images)
        if before is not None and not agree(before, answer):
            self.forget()

    def forget(self) -> None:
        """Remove all answers, and their folder."""
        remove(self._folder, ANSWERS)

    def _path(self, images: Tensor) -> Path:
        return self._folder / PATTERN.replace("*", hash_of_array(images))
