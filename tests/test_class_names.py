"""Names of classes: any form in which users have them becomes one tuple, and a label without a name is its number."""

import numpy as np
import pytest

from abele_py.class_names import class_names_of, name_of
from abele_py.errors import ParameterError


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()),
        ((), ()),
        ({}, ()),
        ("ab", ("a", "b")),
        (["cat", "dog"], ("cat", "dog")),
        (np.array(["cat", "dog"]), ("cat", "dog")),
        ((3, 7), ("3", "7")),
        ({0: "cat", 1: "dog"}, ("cat", "dog")),
        ({2: "cat", np.int64(0): "dog"}, ("dog", "1", "cat")),
    ],
)
def test_every_form_becomes_one_tuple_of_texts(given, names):
    found = class_names_of(given)
    assert found == names
    assert all(type(name) is str for name in found)


@pytest.mark.parametrize("given", [{"cat": 0}, {-1: "cat"}, {0.5: "cat"}])
def test_a_mapping_from_something_else_is_refused(given):
    with pytest.raises(ParameterError, match=r"got class_names.*expected labels.*; pass"):
        class_names_of(given)


def test_a_label_without_a_name_is_called_by_its_number():
    assert [name_of(("cat", "dog"), label) for label in (0, 1, 2)] == ["cat", "dog", "2"]
