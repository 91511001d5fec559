"""Generated inputs end in a result or in an error of ours. `make fuzz` tries thousands."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.fuzz import examples
from support.manifests import manifest
from support.paths import ROOT
from support.worlds import Identity, soft

from abele_py import Abele, BlackBox, read_image
from abele_py.class_names import class_names_of
from abele_py.datasets.images import check_image
from abele_py.errors import AbeleError, ImageError, UnknownNameError, unknown_name
from abele_py.explanation.options import PRESETS, Options
from abele_py.models.manifests import MANIFEST, read_manifest

OPTIONS = sorted(set(asdict(Options())) - {"neighborhood", "preset"})

numbers = st.one_of(
    st.integers(), st.integers(-2, 40), st.floats(), st.floats(-1, 2), st.booleans(), st.complex_numbers(),
    st.integers(-(2**63), 2**63 - 1).map(np.int64), st.floats(width=32).map(np.float32), 
    st.integers(0, 5).map(np.array),
    st.integers(0, 200).map(torch.tensor), st.fractions(), st.decimals(allow_nan=False),
)  # fmt: skip
texts = st.one_of(st.text(max_size=20), st.sampled_from(["mosaic", "AXIS", "5", "none", "x" * 300, "\ud800", "a\0"]))
leaves = st.one_of(
    st.none(), numbers, texts, st.binary(max_size=5), st.just(np.random.RandomState(0)), st.builds(object)
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def damaged(draw, good):
    """A JSON object in which one value, at any depth, is another one, or is not there."""
    content = json.loads(json.dumps(good))
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans())):
            break
        place = place[key]
    if draw(st.booleans()):
        del place[key]
    else:
        place[key] = draw(plain)
    return content


def says_it(error):
    text = str(error)
    assert "\n" not in text
    assert len(text) < 5000
    assert "got" in text or "raised" in text


@given(st.sampled_from(OPTIONS), anything)
@examples(300)
def test_an_option_is_taken_as_a_plain_value_or_refused(name, value):
    try:
        options = Options(**{name: value})
    except AbeleError as error:
        says_it(error)
    else:
        json.dumps(options.as_params(), allow_nan=False)
        assert Options(**{name: getattr(options, name)}) == options


@given(st.sampled_from([*OPTIONS, "preset", "neighborhood", "batch_size"]), anything)
@examples(60)
def test_an_explainer_is_made_or_refused(name, value):
    try:
        Abele(soft, Identity(), **{name: value})
    except AbeleError as error:
        says_it(error)


@given(damaged(asdict(manifest())))
@examples(150)
def test_a_damaged_manifest_is_read_or_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    try:
        found = read_manifest(tmp_path)
    except AbeleError as error:
        says_it(error)
    else:
        assert all(math.isfinite(value) for value in found.metrics.values())


@given(
    st.binary(max_size=200) | st.integers(1, 5000).map(lambda n: b"[" * n) | plain.map(lambda p: json.dumps(p).encode())
)
@examples(100)
def test_bytes_that_are_no_manifest_are_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(AbeleError, match="got"):
        read_manifest(tmp_path)


@pytest.mark.slow
@given(damaged(yaml.safe_load((ROOT / "training" / "digits-autoencoder.yaml").read_text(encoding="utf-8"))))
@examples(8)
def test_a_damaged_recipe_is_parsed_or_refused(tmp_path, content):
    from abele_py.training import check

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        check([str(recipe)])
    except AbeleError as error:
        says_it(error)


shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
things = st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.just(range(9)) | st.builds(object)
of_objects = arrays.arrays(object, shapes, elements=things, fill=st.nothing())
any_array = arrays.arrays(arrays.scalar_dtypes() | arrays.byte_string_dtypes(max_len=3), shapes) | of_objects


@given(any_array | st.lists(st.floats()) | anything)
@examples(300)
def test_an_image_is_in_range_or_refused(value):
    try:
        found = check_image(value, (1, 2, 2))
    except ImageError as error:
        says_it(error)
    else:
        assert found.shape == (1, 2, 2)
        assert found.dtype == torch.float32
        assert 0 <= float(found.min()) <= float(found.max()) <= 1


@given(
    st.sampled_from(["a.png", "a.npy", "a.jpg", "a"]),
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY\x01\x00", b"GIF89a", b"BM"]),
)
@examples(150)
def test_bytes_are_a_picture_or_refused(tmp_path, name, content, head):
    (tmp_path / name).write_bytes(head + content)
    with pytest.raises(ImageError, match="got"):
        read_image(tmp_path / name, (1, 300, 300))


@given(any_array | anything)
@examples(300)
def test_an_answer_is_labels_or_scores_or_refused(raw):
    try:
        found = BlackBox(lambda images: raw)(torch.zeros(2, 1, 1, 2))
    except AbeleError as error:
        says_it(error)
    else:
        assert found.labels.shape == (2,)
        assert int(found.labels.min()) >= 0
        assert found.scores is None or bool(found.scores.isfinite().all())


@given(
    st.none()
    | st.lists(texts, max_size=4)
    | st.dictionaries(
        leaves.filter(lambda key: key.__hash__ is not None and not isinstance(key, torch.Tensor)), texts, max_size=3
    )
)
@examples(150)
def test_class_names_are_texts_or_refused(names):
    try:
        found = class_names_of(names)
    except AbeleError as error:
        says_it(error)
    else:
        assert all(isinstance(name, str) for name in found)


@given(st.sampled_from(list(PRESETS)), st.data())
@examples(50)
def test_a_name_in_another_case_gets_the_hint(name, data):
    other = "".join(data.draw(st.sampled_from([letter.upper(), letter])) for letter in name)
    error = unknown_name("preset", other, PRESETS)
    assert isinstance(error, UnknownNameError)
    assert f"Did you mean {name!r}?" in str(error)
