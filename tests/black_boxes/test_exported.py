"""Exported graphs (.pt2): they answer as their network, and nothing in the file runs code."""

import json
import pickle
import zipfile
from io import BytesIO

import pytest
import torch
from support.black_box_files import COLOURS, Trap, refused, write_pt2
from torch import nn

from abele_py import BlackBox, load_black_box
from abele_py.black_boxes.exported import ExportedClassifier


class Odd(nn.Module):
    """What exported graphs are made of beside layers: sizes, several results, constants, infinity, attention."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding="same")
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.register_buffer("place", torch.rand(4), persistent=False)
        self.constant = torch.rand(1, 2)
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        n = images.shape[0]
        x = nn.functional.gelu(self.conv(images)) + self.place[:, None, None]
        a, b = x.chunk(2, dim=1)
        tokens = torch.cat([b, a], dim=1).reshape(n * 2, -1).view(n, 4, -1).transpose(1, 2)
        tokens, _ = self.attention(tokens, tokens, tokens)
        values, _ = tokens.masked_fill(tokens > 9, -torch.inf).max(dim=1)
        return self.head(values) * self.constant + torch.arange(2, dtype=images.dtype) + torch.zeros(n, 2)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """One network, exported with a batch of any size, of at most 3, and of 4."""
    folder, network = tmp_path_factory.mktemp("odd"), Odd().eval()
    write_pt2(network, COLOURS[:4], folder / "any.pt2", torch.export.Dim("n"))
    write_pt2(network, COLOURS[:3], folder / "few.pt2", torch.export.Dim("n", max=3))
    write_pt2(network, COLOURS[:4], folder / "four.pt2")
    return folder, network


@pytest.mark.slow
@pytest.mark.parametrize("name", ["any", "few", "four"])
def test_an_exported_graph_answers_as_the_network_whatever_its_batch(name, odd):
    folder, network = odd
    classifier = load_black_box(folder / f"{name}.pt2", image_shape=(3, 4, 5)).classifier
    expected = network(COLOURS).detach()
    for n in (1, 4, 7):
        torch.testing.assert_close(BlackBox(classifier)(COLOURS[:n]).scores, expected[:n], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(classifier.logits(COLOURS), classifier(COLOURS))


@pytest.mark.slow
def test_gradients_flow_through_an_exported_graph_and_its_preparation(odd, digits_models, digit_images, tmp_path):
    folder, network = odd
    classifier = load_black_box(folder / "any.pt2", mean=0.5, std=0.5).classifier
    gradients = []
    for function in (classifier, lambda x: network((x - 0.5) / 0.5)):
        images = COLOURS.clone().requires_grad_()
        gradients.append(torch.autograd.grad(function(images)[:, 0].sum(), images)[0])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    cnn = digits_models[1]
    write_pt2(cnn, torch.rand(2, 1, 28, 28), tmp_path / "digits.pt2", torch.export.Dim("n"))
    logits = load_black_box(tmp_path / "digits.pt2").classifier.logits(digit_images[:5])
    torch.testing.assert_close(logits, cnn.logits(digit_images[:5]), rtol=0, atol=1e-5)


def rewritten(path, target, changes):
    """A copy of an archive with other contents: name without its folder -> bytes, or function of the old bytes."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content, change = old.read(name), changes.get(name.partition("/")[2])
            new.writestr(name, change(content) if callable(change) else content if change is None else change)
    return target


def edited(function):
    def change(content):
        program = json.loads(content)
        function(program)
        return json.dumps(program).encode()

    return {"models/model.json": change}


def nodes_of(program):
    return program["graph_module"]["graph"]["nodes"]


def call(target, **arguments):
    inputs = [{"name": name, "arg": {"as_string": value}, "kind": 1} for name, value in arguments.items()]
    node = {"target": target, "inputs": inputs, "outputs": [{"as_tensor": {"name": "trap"}}], "metadata": {}}
    return lambda program: nodes_of(program).insert(0, node)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (call("torch.serialization.os.system", command="mkdir trapped"), "operators of ATen"),
        (call("torch.ops.aten.__class__.default"), "operators of ATen"),
        (call("torch.ops.aten.add.__call__"), "operators of ATen"),
        (call("torch.ops.aten.from_file.default", filename="trapped"), "on files"),
        (call("torch.ops.aten.save.default", filename="trapped"), "tensors or numbers"),
        (call("torch.ops.higher_order.cond"), "operators of ATen"),
        (call("_operator.attrgetter", a="x"), "operators of ATen"),
        (lambda p: p["schema_version"].update(major=9), "schema version 9"),
        (lambda p: nodes_of(p)[0]["inputs"][0].update(arg={"as_custom_obj": {}}), "as_custom_obj"),
        (lambda p: p["graph_module"].pop("graph"), "cannot be read"),
        (lambda p: p["graph_module"]["signature"]["output_specs"].append({"buffer_mutation": {}}), "buffer_mutation"),
        (lambda p: p["graph_module"]["signature"]["input_specs"].append({"custom_obj": {}}), "custom_obj"),
    ],
)
def test_a_graph_that_does_more_than_operators_on_tensors_is_refused(change, word, odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = rewritten(odd[0] / "any.pt2", tmp_path / "hostile.pt2", edited(change))
    assert word in refused(path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.slow
def test_what_is_evaluated_or_unpickled_by_torch_is_not_looked_at(odd, tmp_path):
    folder, network = odd
    trap = f"__import__('os').mkdir({str(tmp_path / 'trapped')!r})"

    def with_expressions(program):
        program["guards_code"] = [trap]
        for size in program["graph_module"]["graph"]["sym_int_values"].values():
            size["as_expr"]["expr_str"] = trap

    changes = edited(with_expressions) | {"data/sample_inputs/model.pt": pickle.dumps(Trap(tmp_path / "trapped"))}
    path = rewritten(folder / "any.pt2", tmp_path / "hostile.pt2", changes)
    torch.testing.assert_close(load_black_box(path).classifier(COLOURS), network(COLOURS))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.slow
def test_pickled_weights_are_refused(odd, tmp_path):
    def pickled(content):
        config = json.loads(content)
        next(iter(config["config"].values()))["use_pickle"] = True
        return json.dumps(config).encode()

    changes = {"data/weights/model_weights_config.json": pickled}
    assert "pickled object" in refused(rewritten(odd[0] / "any.pt2", tmp_path / "p.pt2", changes))
    for content, word in ((pickle.dumps(Trap(tmp_path / "trapped")), "cannot be read"), (b"no zip", "cannot be read")):
        (tmp_path / "renamed.pt2").write_bytes(content)
        assert word in refused(tmp_path / "renamed.pt2")
    assert not (tmp_path / "trapped").exists()
    assert "no file" in refused(tmp_path / "missing.pt2")


@pytest.mark.slow
def test_files_of_older_torch_with_weights_that_only_hold_tensors(odd, tmp_path):
    folder, network = odd
    exported = ExportedClassifier(folder / "any.pt2")
    with zipfile.ZipFile(folder / "any.pt2") as new:
        program = new.read("any/models/model.json")
    specs = json.loads(program)["graph_module"]["signature"]["input_specs"]
    tensors = {}
    for spec in specs[:-1]:
        ((kind, entry),) = spec.items()
        tensors[entry[f"{kind}_name"]] = getattr(exported, exported._tensors[entry["arg"]["name"]]).detach()

    def written(content):
        with zipfile.ZipFile(tmp_path / "old.pt2", "w") as old:
            old.writestr("version", "8.2")
            old.writestr("serialized_exported_program.json", program)
            old.writestr("serialized_state_dict.pt", content)
            old.writestr("serialized_constants.pt", b"")
        return tmp_path / "old.pt2"

    stored = BytesIO()
    torch.save(tensors, stored)
    torch.testing.assert_close(load_black_box(written(stored.getvalue())).classifier(COLOURS), network(COLOURS))
    hostile = BytesIO()
    torch.save(tensors | {"more": Trap(tmp_path / "trapped")}, hostile)
    assert "cannot be read" in refused(written(hostile.getvalue()))
    assert not (tmp_path / "trapped").exists()


class Two(nn.Module):
    def forward(self, a, b):
        return a + b, a - b


def test_other_exports_are_refused_with_what_to_do(tmp_path):
    torch.export.save(torch.export.export(Two(), (COLOURS, COLOURS)), tmp_path / "two.pt2")
    assert "2 inputs" in refused(tmp_path / "two.pt2")
    training = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(60, 2)).train()
    write_pt2(training, COLOURS, tmp_path / "training.pt2")
    assert "model.eval()" in refused(tmp_path / "training.pt2")
