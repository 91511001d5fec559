"""Explanation: everything one explanation found, frozen, as data; saved to ``.npz`` or JSON and read back exactly.

Holds no black box and computes nothing. No file that is read here can run code.
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from ..black_boxes.outputs import probabilities, scale_in, scale_of
from ..class_names import name_of
from ..errors import DataError
from ..latent.counter_exemplars import CounterExemplars
from ..latent.neighborhood import Neighborhood
from ..latent.space import LatentSpace, Points
from ..latent.traversals import Traversals
from ..surrogate.rules import Condition, CounterfactualRule, Rule
from ..surrogate.tree import Surrogate
from ..trees import Trees
from .trust import ANSWERS, HEADLINES, Note, Trust, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from ..checking.parameters import checked
from ..provenance import merged
from ..storage.files import npz_bytes, read_npz, same_arrays, write_bytes, write_npz
from ..storage.reading import parse_json
from .options import Options
from .others import other_labels
from .serialization import decode, encode, lists, with_schema
from .summary import summary_of


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a black box gave an image its label, which images get the same, and what would have to change.

    Attributes:
        image: (C, H, W) float32 in [0, 1].
        label: the black box's label of the image.
        scores: (K,) its scores, or None for a black box that answers labels only.
        class_names: K names, or none.
        latent: (k,) the image's code.
        reconstruction, reconstruction_label: the decoded code (C, H, W), and the black box's label of it.
        rule: the box of the latent space in which the surrogate gives the label.
        counterfactual_rules: for each other label the fewest conditions that would have to change.
        exemplars: similar images, inside the rule, with the same label.
        counter_exemplars: for each other label a near image that has it, beyond the boundary, and the way to it.
        saliency: (H, W) in [-1, 1], 0 neutral, positive = evidence for the label.
        saliency_areas: (H, W) the same inside its contiguous areas, 0 elsewhere.
        neighborhood: the labelled latent points the surrogate was learned on.
        surrogate: the decision tree.
        trust: how far to trust all this.
        notes: what could not be found or kept, and why.
        verdicts: can it be believed? First the verdict on the whole, then those on its four parts, see
            :func:`~abele_py.explanation.verdicts.verdicts_on`; none in files of a time without them.
        params: what made this explanation: options, seed, versions, number of black-box calls.
        exemplar_typicality, counter_exemplar_typicality: how typical each of them is, float32 in [0, 1], see
            :meth:`~abele_py.models.mixture.Mixture.typicality`; None for an autoencoder without a mixture of its codes.
        traversals: what changes along each coordinate of the rule and the counterfactual rules; None in files of a
            time without them.
        provenance: what was explained, as JSON: ``black_box`` and ``autoencoder`` (see
            :func:`~abele_py.provenance.origin_of`) and ``image`` (``shape`` and ``sha256`` of the tensor). Commands
            add its file, the ``time`` and the ``command``; so can :meth:`with_provenance`. None in files of a time
            without it.
    """

    image: Tensor
    label: int
    scores: Tensor | None
    class_names: tuple[str, ...]
    latent: Tensor
    reconstruction: Tensor
    reconstruction_label: int
    rule: Rule
    counterfactual_rules: tuple[CounterfactualRule, ...]
    exemplars: Points
    counter_exemplars: CounterExemplars
    saliency: Tensor
    saliency_areas: Tensor
    neighborhood: Neighborhood
    surrogate: Surrogate
    trust: Trust
    notes: tuple[Note, ...]
    params: dict[str, Any]
    exemplar_typicality: Tensor | None = None  # files of a time without mixtures lack these two
    counter_exemplar_typicality: Tensor | None = None
    traversals: Traversals | None = None
    provenance: dict[str, Any] | None = None
    verdicts: tuple[Verdict, ...] = ()

    def with_provenance(self, **more: Any) -> "Explanation":
        """A copy whose ``provenance`` says more, such as ``time=now(), image={"name": "7.png"}``.

        Args:
            more: what JSON can say. A dictionary is added to the one of that name, part by part.
        """
        return replace(self, provenance=merged(self.provenance or {}, more))

    def seen_in(self, space: LatentSpace) -> LatentSpace:
        """A space of its autoencoder as this explanation saw it: near the code with the detail of the image."""
        share = self.params.get("detail", 0.0)  # files of a time without it
        return space.detailed(self.image, self.reconstruction, self.latent, share)

    @property
    def fidelity(self) -> float:
        """Share of held-out neighbors, weighted by distance, on which surrogate and black box agree."""
        return self.trust.held_out

    @checked
    def name(self, label: int) -> str:
        """The name of a label, or its number."""
        return name_of(self.class_names, label)

    def repeats(self, other: "Explanation") -> bool:
        """Whether both are results of one question: equal options and arrays, whatever else is told of them."""
        options = {option.name for option in fields(Options)} | {"target"}
        first, second = ({name: value for name, value in e.params.items() if name in options} for e in (self, other))
        return (
            json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
            and (self.label, self.class_names) == (other.label, other.class_names)
            and same_arrays(self._content()[1], other._content()[1])
        )

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores of the black box (..., K), such as ``scores`` or those of counter-exemplars, as probabilities.

        Of probabilities that it gives itself the shares of their sum, else the softmax: as decided once for the black
        box, see ``black_box_answers`` in ``params``; in files from before, on the neighborhood's scores.
        """
        scale = scale_in(self.params)
        if scale is None and self.neighborhood.scores is not None:
            scale = scale_of(self.neighborhood.scores)
        return probabilities(scores, scale)

    def plot(self) -> "Figure":
        """The explanation as one figure, to be shown by a notebook or saved with ``.savefig(path)``."""
        from ..views.plots import plot_explanation

        return plot_explanation(self)

    @overload
    def to_html(self, path: None = None, *, title: str = "") -> str: ...

    @overload
    def to_html(self, path: str | Path, *, title: str = "") -> Path: ...

    @checked
    def to_html(self, path: str | Path | None = None, *, title: str = "") -> str | Path:
        """The explanation as one HTML page that needs no network and no other file.

        Args:
            path: the file to write (atomically).
            title: what the image is called, such as its file name.

        Returns:
            The path; without one, the page itself.

        Raises:
            PlaceError: a folder, link, device or write-protected file has the name.
            OSError: the file cannot be written.
        """
        from ..views.page import page_of

        page = page_of(self, title)
        if path is None:
            return page
        path = Path(path)
        write_bytes(path, page.encode())
        return path

    @checked
    def save(self, path: str | Path) -> Path:
        """Write all of it to an ``.npz`` file (atomically) that :meth:`load` reads back exactly.

        Arrays stand in it under their own names, such as ``saliency`` or ``exemplars.images``; all else is JSON in
        ``explanation``. A file of that name is replaced.

        Raises:
            PlaceError: a folder, link, device or write-protected file has the name.
            OSError: the file cannot be written.
        """
        path = Path(path)
        record, arrays = self._content()
        write_npz(path, arrays, {"explanation": record})
        return path

    def to_bytes(self) -> bytes:
        """The content of the file that :meth:`save` writes."""
        record, arrays = self._content()
        return npz_bytes(arrays, {"explanation": record})

    def _content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """All of it: as JSON that names arrays, and the arrays."""
        arrays: dict[str, Tensor] = {}

        def put(path: str, tensor: Tensor) -> Any:
            arrays[path] = tensor
            return path

        return with_schema(encode(self, put)), arrays

    @classmethod
    @checked
    def load(cls, path: str | Path) -> "Explanation":
        """Read what :meth:`save` wrote.

        Raises:
            DataError: no such file, or it is damaged or not an explanation.
        """
        try:
            arrays, (tree,) = read_npz(path, "explanation")
            return cls._checked(decode(tree, lambda name: torch.from_numpy(arrays[name]), _RECORDS))
        except Exception as error:  # whatever damaged or foreign bytes lead to in zlib, zip, numpy and JSON
            raise DataError(
                f"got {str(path)!r}, which is no readable explanation ({error}); expected an .npz written by "
                "Explanation.save; check the path, or explain the image again"
            ) from error

    def to_json(self) -> str:
        """All of it as one JSON text: records as objects, arrays as nested lists. :meth:`from_json` is exact."""
        return json.dumps(with_schema(encode(self, lists)), allow_nan=False)

    def summary(self) -> dict[str, Any]:
        """What it says, without arrays: a few kB of JSON, see :func:`~abele_py.explanation.summary.summary_of`."""
        return summary_of(self)

    @classmethod
    @checked
    def from_json(cls, text: str) -> "Explanation":
        """Read what :meth:`to_json` wrote.

        Raises:
            DataError: not such a text.
        """
        try:
            return cls._checked(
                decode(
                    parse_json(text),
                    lambda a: torch.tensor(a["values"], dtype=getattr(torch, a["dtype"])).reshape(a["shape"]),
                    _RECORDS,
                )
            )
        except Exception as error:  # RecursionError, OverflowError, ...: the text may be anything
            raise DataError(
                f"got a text that is no explanation ({error}); expected JSON of Explanation.to_json"
            ) from error

    @classmethod
    def _checked(cls, value: Any) -> "Explanation":
        if not isinstance(value, cls):
            raise ValueError("another kind of file")
        return value

    def _certainty(self) -> str:
        """The probability of the label, and its score where that is another number."""
        if self.scores is None:
            return ""
        probability = f"{float(self.probabilities(self.scores)[self.label]):.3f}"
        score = f"{float(self.scores[self.label]):.3f}"
        return f" (probability {probability}{'' if score == probability else f', score {score}'})"

    def __str__(self) -> str:
        t, others = self.trust, other_labels(self)
        found = [self.name(y) for y in self.counter_exemplars.labels.tolist() if y in others.shown]
        always = self.label if t.constant_label is None else t.constant_label
        lines = [
            f"label {self.name(self.label)}{self._certainty()}",
            f"fidelity {t.held_out:.3f} on {t.n_held_out} held-out neighbors "
            f"(always answering {self.name(always)}: {t.constant:.3f})",
            *(
                []
                if t.typicality is None
                else [f"typicality {t.typicality:.2f}, from 0 (hardly an image like it) to 1"]
            ),
            f"rule: {self.rule.words(self.name)}",
            *(f"counterfactual rule: {c.words(self.name)}" for c in others.rules),
            f"{len(self.exemplars)} exemplars; counter-exemplars: {', '.join(found) or 'none'}",
            *([others.hint] if others.hint else []),
            *(f"can I believe this? {HEADLINES[whole.grade]}" for whole in self.verdicts[:1]),
            *(f"{verdict.part}: {ANSWERS[verdict.grade]}. {verdict.text}" for verdict in self.verdicts[1:]),
            *(f"note: {note.text}" for note in self.notes),
        ]
        return "\n".join(lines)

    __repr__ = __str__


# The only classes a file can name.
_RECORDS: dict[str, type] = {
    r.__name__: r
    for r in (
        Explanation,
        Trust,
        Note,
        Verdict,
        Rule,
        CounterfactualRule,
        Condition,
        Points,
        CounterExemplars,
        Neighborhood,
        Surrogate,
        Traversals,
        Trees,
    )
}
