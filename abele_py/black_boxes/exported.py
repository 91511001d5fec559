"""A ``model.pt2`` of torch.export, read as data: its graph is JSON, its weights are bytes; run operator by operator.

``torch.export.load`` unpickles, evaluates size expressions and makes code of names in the file: a file could run
anything. Here only ATen's operators on tensors are called, on what the graph gives them. The format is the one of
torch's ``_export/serde/schema.py``, major version 8, which torch 2.6 and newer write.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..batching import in_sized_batches
from ..checking.parameters import checked
from ..errors import BlackBoxError
from ..storage.reading import open_zip, parse_json, read_regular
from .preprocessing import as_input

SCHEMA = 8
_MOST_REPEATED = 2**20  # numbers of a weight that repeats itself, as `expand` makes it
AGAIN = "export it again with torch.export.export(model.eval(), (images,)), or use .onnx"

_DTYPES = dict(
    enumerate(
        (
            *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32),
            *(torch.float64, torch.complex32, torch.complex64, torch.complex128, torch.bool, torch.bfloat16),
        ),
        start=1,
    )
)
_STRIDED = 7
_MEMORY_FORMATS = dict(
    enumerate((torch.contiguous_format, torch.channels_last, torch.channels_last_3d, torch.preserve_format), start=1)
)
# Arithmetic with sizes, which depend on the batch.
_SIZES: dict[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge")
} | {"torch.sym_max": max, "torch.sym_min": min, "torch.sym_int": int, "torch.sym_float": float}
_SOFTMAX = ("softmax", "_softmax", "log_softmax", "_log_softmax")
_ANSWERS = re.compile(r"(Tensor|SymInt|int|float|bool|number)|List\[(Tensor|SymInt|int)\]")


@dataclass
class _Node:
    """One call of the graph: arguments as the file has them, names of the results, names not needed afterwards."""

    target: str
    operator: str
    function: Callable[..., Any]
    arguments: list[tuple[str, dict[str, Any]]]
    results: list[Any]
    done_with: list[str]

    def __reduce__(self) -> Any:  # operators cannot be pickled; they are found again by their names
        return _made, (self.target, self.arguments, self.results, self.done_with)


class ExportedClassifier(nn.Module):
    """A network saved by torch.export, from (N, ...) pixels as its input wants them to what it answers.

    Gradients flow through. Batches are split and filled where the batch size was fixed, or bounded, at the export.

    Args:
        path: a ``.pt2`` file.

    Attributes:
        input_shape: of its input without N; None where a size may be any.
        dtype: of its input.

    Raises:
        BlackBoxError: no such file; or it is damaged, of another format, in training mode, has several inputs or
            outputs, or holds more than tensors and ATen's operators on them.
    """

    image_dtype = torch.float32  # it converts images to the type of its input itself

    @checked
    def __init__(self, path: str | Path) -> None:
        super().__init__()
        try:
            program, weights = _read(Path(path))
            self._build(program, weights)
        except BlackBoxError as error:
            raise BlackBoxError(f"got {str(path)!r}, {error}") from error
        except Exception as error:  # whatever a damaged zip, JSON or size leads to
            raise BlackBoxError(
                f"got {str(path)!r}, which cannot be read ({type(error).__name__}: {error}); expected a file that "
                f"torch.export.save has written; {AGAIN}"
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        """(N, ...) -> (N, K) scores or (N,) labels."""
        return self._answer(images, self._nodes, self._output)

    def logits(self, images: Tensor) -> Tensor:
        """As ``forward``, but without a softmax that comes last: what gradients are taken of."""
        last = self._nodes[-1]
        if last.operator not in _SOFTMAX or last.results != [self._output]:
            return self(images)
        name = next(argument["as_tensor"]["name"] for key, argument in last.arguments if key in ("self", "input"))
        return self._answer(images, self._nodes[:-1], name)

    def _answer(self, images: Tensor, nodes: list[_Node], output: str) -> Tensor:
        values = as_input(images, self.input_shape, self.dtype)
        return in_sized_batches(lambda batch: self._run(batch, nodes, output), values, self._low, self._high)

    def _run(self, batch: Tensor, nodes: list[_Node], output: str) -> Tensor:
        found: dict[str, Any] = {self._input: batch}
        found |= {name: getattr(self, attribute) for name, attribute in self._tensors.items()}
        for node in nodes:
            pairs = [(name, _value(argument, found, batch.device)) for name, argument in node.arguments]
            if node.operator in _SIZES:
                result = node.function(*(value for _, value in pairs))
            else:
                result = node.function(**dict(pairs))
            _store(node.results, result, found)
            for name in node.done_with:
                if name != output:
                    found.pop(name, None)
        return found[output]

    def _build(self, program: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
        inputs: list[str] = []
        self._tensors: dict[str, str] = {}  # name in the graph -> attribute of this module
        for spec in signature["input_specs"]:
            ((kind, entry),) = spec.items()
            if kind == "user_input":
                inputs.append(entry["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer", "tensor_constant"):
                tensor = weights[entry[f"{kind}_name"]]
                attribute = self._tensors[entry["arg"]["name"]] = f"tensor_{len(self._tensors)}"
                if kind == "parameter":
                    self.register_parameter(attribute, nn.Parameter(tensor, requires_grad=False))
                else:
                    self.register_buffer(attribute, tensor)
            else:
                raise BlackBoxError(f"with an input of kind {kind!r}; expected images and weights only; {AGAIN}")
        outputs = [spec.get("user_output", {}).get("arg", {}).get("as_tensor") for spec in signature["output_specs"]]
        if len(inputs) != 1 or len(outputs) != 1 or outputs[0] is None:
            names = [kind for spec in signature["output_specs"] for kind in spec]
            raise BlackBoxError(
                f"with {len(inputs)} inputs and the outputs {names}; expected one of images and one of scores or "
                f"labels, without changes of its own state; {AGAIN}"
            )
        self._input, self._output = inputs[0], outputs[0]["name"]
        self._nodes = [_node(node) for node in graph["nodes"] if not _asserts(node)]
        seen = {self._output}
        for built in reversed(self._nodes):
            used = {name for _, argument in built.arguments for name in _names(argument)}
            built.done_with = sorted(used - seen)
            seen |= used
        meta = graph["tensor_values"][self._input]
        self.dtype = _DTYPES[meta["dtype"]]
        batch, *shape = (size.get("as_int") for size in meta["sizes"])
        self.input_shape: tuple[int | None, ...] = tuple(shape)
        self._low: int
        self._high: int | None
        self._low, self._high = (batch, batch) if batch else _bounds(meta["sizes"][0], program["range_constraints"])


def _bounds(size: dict[str, Any], ranges: Mapping[str, Any]) -> tuple[int, int | None]:
    """The smallest and largest batch that a file allows."""
    symbols = re.findall(r"\b[a-z]+\d+\b", size["as_expr"]["expr_str"])
    found = ranges.get(symbols[0], {}) if len(symbols) == 1 else {}
    high = found.get("max_val")
    return max(found.get("min_val") or 1, 1), high if isinstance(high, int) and high < 2**31 else None


def _made(target: str, *rest: Any) -> _Node:
    return _Node(target, *((target, _SIZES[target]) if target in _SIZES else _operator(target)), *rest)


def _node(node: Mapping[str, Any]) -> _Node:
    target = node["target"]
    arguments = [(entry["name"], entry["arg"]) for entry in node["inputs"]]
    for key, argument in arguments:
        ((kind, value),) = argument.items()
        if kind not in _ARGUMENTS:
            raise BlackBoxError(
                f"whose {target} has an argument of kind {kind!r}; expected tensors and numbers; {AGAIN}"
            )
        if key in ("training", "train") and value is True:
            raise BlackBoxError(f"exported in training mode ({target}); expected evaluation mode; {AGAIN}")
    results = [_results(output) for output in node["outputs"]]
    return _made(target, arguments, results, [])


def _operator(target: str) -> tuple[str, Callable[..., Any]]:
    """An operator of ATen from tensors and numbers to tensors and numbers; no other can be had by its name."""
    match = re.fullmatch(r"torch\.ops\.(aten|prims)\.([a-z_]\w*)\.(\w+)", target)
    found = match and getattr(getattr(getattr(torch.ops, match[1]), match[2], None), match[3], None)
    if not match or not isinstance(found, torch._ops.OpOverload):
        raise BlackBoxError(f"which calls {target!r}; expected operators of ATen only; {AGAIN}")
    schema = found._schema
    if not schema.returns or not all(_ANSWERS.fullmatch(str(result.type)) for result in schema.returns):
        raise BlackBoxError(f"which calls {target!r}; expected operators that answer tensors or numbers; {AGAIN}")
    if any(argument.name == "filename" for argument in schema.arguments):
        raise BlackBoxError(f"which calls {target!r}, on files; expected operators on tensors; do not use this file")
    return match[2], found


def _asserts(node: Mapping[str, Any]) -> bool:
    """Whether a call only checks what cannot be otherwise here: sizes, types."""
    return bool(re.match(r"torch\.ops\.aten\.(_assert_\w+|sym_constrain_range\w*)\.", node["target"]))


def _results(output: dict[str, Any]) -> Any:
    """The name of a result, a list of names, or None for one that nobody wants."""
    ((kind, value),) = output.items()
    if kind == "as_none":
        return None
    if kind == "as_tensors":
        return [entry["name"] for entry in value]
    return value["name"] if kind == "as_tensor" else value["as_name"]


def _store(names: list[Any], result: Any, found: dict[str, Any]) -> None:
    values = [result] if len(names) == 1 else list(result)
    for name, value in zip(names, values, strict=True):
        if isinstance(name, list):
            found.update(zip(name, value, strict=True))
        elif name is not None:
            found[name] = value


def _named(value: dict[str, Any], found: Mapping[str, Any]) -> Any:
    """A size, number or truth: of a name, or as it stands."""
    ((kind, content),) = value.items()
    return found[content] if kind == "as_name" else content


def _optional(value: dict[str, Any], found: Mapping[str, Any]) -> Tensor | None:
    return found[value["as_tensor"]["name"]] if "as_tensor" in value else None


def _same(value: Any, _: Mapping[str, Any]) -> Any:
    return value


# What an argument may be, and what it means.
_ARGUMENTS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    **dict.fromkeys(("as_int", "as_ints", "as_bool", "as_bools", "as_string"), _same),
    "as_float": lambda value, found: float(value),  # infinity is written as a word
    "as_floats": lambda value, found: [float(v) for v in value],
    "as_none": lambda value, found: None,
    "as_tensor": lambda value, found: found[value["name"]],
    "as_tensors": lambda value, found: [found[entry["name"]] for entry in value],
    "as_optional_tensor": _optional,
    "as_optional_tensors": lambda value, found: [_optional(entry, found) for entry in value],
    **dict.fromkeys(("as_sym_int", "as_sym_float", "as_sym_bool"), _named),
    **dict.fromkeys(
        ("as_sym_ints", "as_sym_floats", "as_sym_bools"),
        lambda value, found: [_named(entry, found) for entry in value],
    ),
    "as_scalar_type": lambda value, found: _DTYPES[value],
    "as_memory_format": lambda value, found: _MEMORY_FORMATS[value],
    "as_layout": lambda value, found: {_STRIDED: torch.strided}[value],
    "as_device": _same,
}


def _value(argument: dict[str, Any], found: Mapping[str, Any], device: torch.device) -> Any:
    ((kind, value),) = argument.items()
    return device if kind == "as_device" else _ARGUMENTS[kind](value, found)


def _names(value: Any) -> Iterator[str]:
    """All names that an argument mentions."""
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, dict):
            for key, content in entry.items():
                if key in ("name", "as_name"):
                    yield content
                else:
                    yield from _names(content)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The program and all its tensors by name, of the archive of torch 2.8 and newer, or of the zip before."""
    if not path.is_file():
        raise BlackBoxError("which is no file; expected a model exported by torch.export; check the path")
    with open_zip(BytesIO(read_regular(path))) as archive:
        names = archive.namelist()
        if "serialized_exported_program.json" in names:
            program = parse_json(archive.read("serialized_exported_program.json"))
            parts = [archive.read(f"serialized_{part}.pt") for part in ("state_dict", "constants")]
            return _checked(program), {name: tensor for part in parts for name, tensor in _unpickled(part).items()}
        models = [name for name in names if re.fullmatch(r"[^/]+/models/[^/]+\.json", name)]
        if len(models) != 1:
            raise BlackBoxError(f"which holds {len(models)} exported models; expected one; {AGAIN}")
        program = _checked(parse_json(archive.read(models[0])))
        root, _, model = models[0].removesuffix(".json").split("/")
        tensors: dict[str, Tensor] = {}
        for part in ("weights", "constants"):
            folder = f"{root}/data/{part}"
            if f"{folder}/{model}.pt" in names:
                tensors |= _unpickled(archive.read(f"{folder}/{model}.pt"))
                continue
            for name, entry in parse_json(archive.read(f"{folder}/{model}_{part}_config.json"))["config"].items():
                if entry["use_pickle"] or entry["tensor_meta"] is None:
                    raise BlackBoxError(f"whose {name} is a pickled object; expected plain tensors; {AGAIN}")
                content = archive.read(f"{folder}/{entry['path_name']}")
                tensors[name] = _tensor(content, entry["tensor_meta"])
        return program, tensors


def _checked(program: dict[str, Any]) -> dict[str, Any]:
    version = program["schema_version"]["major"]
    if version != SCHEMA:
        raise BlackBoxError(
            f"of schema version {version}; expected {SCHEMA}; export it with another version of torch, or use .onnx"
        )
    return program


def _unpickled(content: bytes) -> dict[str, Tensor]:
    """Tensors by name, of files before torch 2.9; torch's own reader of weights makes nothing else of a pickle."""
    if not content:
        return {}
    with open_zip(BytesIO(content)):  # torch's own reader would unpack whatever it declares
        found = torch.load(BytesIO(content), weights_only=True, map_location="cpu")
    return {name: value.detach() for name, value in found.items()}


def _tensor(content: bytes, meta: Mapping[str, Any]) -> Tensor:
    if meta["layout"] != _STRIDED:
        raise BlackBoxError(f"with a sparse weight; expected dense ones; {AGAIN}")
    flat = torch.frombuffer(bytearray(content), dtype=_DTYPES[meta["dtype"]]) if content else torch.zeros(0)
    sizes, strides = ([entry["as_int"] for entry in meta[key]] for key in ("sizes", "strides"))
    if math.prod(sizes) > max(len(flat), _MOST_REPEATED):
        raise BlackBoxError(f"with a weight of shape {sizes} in {len(content)} bytes; expected all of it; {AGAIN}")
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"]).clone()
