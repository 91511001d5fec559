"""A scikit-learn classifier in a ``.skops`` file: only types that skops trusts are made, so that no code runs.

skops does not trust the nodes of decision trees, for scikit-learn follows them without looking at their bounds. They
are checked here before anybody asks the tree.
"""

import gc
import os
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from ..checking.parameters import checked
from ..errors import BlackBoxError, missing_extra
from ..storage.reading import open_zip, parse_json, read_regular
from .outputs import classes_of, names_of

TREE = "sklearn.tree._tree.Tree"
WAY_OUT = "save it with skops.io.dump, convert it to .onnx, or pass package.module:function, which runs your own code"


@checked
def load_skops(path: str | Path) -> tuple[Any, tuple[str, ...]]:
    """The classifier in a file, and the names of its classes; empty where they are 0 to K - 1.

    Raises:
        BlackBoxError: no such file, no skops file, types that are not trusted, damaged trees, or no fitted classifier.
        MissingExtraError: skops is not installed.
    """
    name = str(path)
    try:
        import skops.io
    except ModuleNotFoundError as error:
        raise missing_extra(error, repr(name), "skops") from error
    if not os.path.isfile(path):
        raise BlackBoxError(f"got {name!r}, which is no file; expected a classifier saved by skops; check the path")
    try:
        content = read_regular(path)
        with open_zip(BytesIO(content)) as archive:
            parse_json(archive.read("schema.json"))  # skops would follow however deep it is nested
        untrusted = sorted(set(map(str, skops.io.get_untrusted_types(data=content))) - {TREE})
        if untrusted:
            raise BlackBoxError(
                f"got {name!r} with types that skops does not trust: {', '.join(untrusted)}; expected types of "
                f"scikit-learn and numpy that it does; {WAY_OUT}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another version of scikit-learn; what differs is an error below
            estimator = skops.io.loads(content, trusted=[TREE])
        _check_trees(name, estimator)
    except BlackBoxError:
        raise
    except Exception as error:  # no zip, damaged JSON, a class that is not there, arrays of wrong shapes, ...
        raise BlackBoxError(
            f"got {name!r}, which skops cannot load ({type(error).__name__}: {error}); expected a scikit-learn "
            f"classifier of the installed version; {WAY_OUT}"
        ) from error
    classes = getattr(estimator, "classes_", None)
    if not hasattr(estimator, "predict") or not hasattr(estimator, "fit") or classes is None:
        raise BlackBoxError(
            f"got {name!r} with a {type(estimator).__name__}; expected a fitted classifier; fit it and {WAY_OUT}"
        )
    return estimator, names_of(classes_of(estimator))


def _check_trees(name: str, estimator: Any) -> None:
    """Refuse trees that lead outside of themselves or of the image, or in a circle."""
    for found in _reachable(estimator):
        if isinstance(found, Tree):
            sound = _is_sound(found)
        elif isinstance(found, BaseDecisionTree):
            sound = getattr(found, "tree_", None) is None or found.tree_.n_features == found.n_features_in_
        elif isinstance(found, (BaseForest, BaseGradientBoosting)):  # these ask their trees without a check
            trees = getattr(found, "estimators_", [])
            trees = trees.ravel().tolist() if isinstance(trees, np.ndarray) else trees
            sound = all(getattr(tree, "n_features_in_", None) == found.n_features_in_ for tree in trees)
        else:
            continue
        if not sound:
            raise BlackBoxError(
                f"got {name!r} with a decision tree whose nodes lead outside of it; expected a tree as scikit-learn "
                "fits it; do not use this file"
            )


def _is_sound(tree: Any) -> bool:
    if not 0 < tree.node_count <= tree.capacity:
        return False
    nodes = tree.__getstate__()["nodes"]
    left, right, feature = (nodes[key].astype(np.int64) for key in ("left_child", "right_child", "feature"))
    inner = left != -1
    above = np.arange(len(nodes))  # children come after their parent
    steps = ((left > above) & (left < len(nodes)) & (right > above) & (right < len(nodes)))[inner]
    return bool(steps.all() and ((feature >= 0) & (feature < tree.n_features))[inner].all())


def _reachable(root: Any) -> Iterator[Any]:
    """Every object that a loaded one holds, however deep."""
    seen, waiting = {id(root)}, [root]
    while waiting:
        found = waiting.pop()
        yield found
        inside = list(gc.get_referents(found))
        if isinstance(found, np.ndarray) and found.dtype == object:  # which the collector does not look into
            inside += found.ravel().tolist()
        for value in inside:
            if id(value) not in seen and not isinstance(value, (type, ModuleType, FunctionType)):
                seen.add(id(value))
                waiting.append(value)
