"""Decision trees as arrays: every node's feature, threshold, children and class shares, of one tree or of many.

An image goes left if feature <= threshold. scikit-learn compares single-precision features with double-precision thresholds;
thresholds rounded down to single precision split the images in the same way.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.networks.scikit_learn import Arrays, from_table
from advcli.numerics.arrays import Array

KINDS = {
    "feature": (torch.int64, 1),
    "threshold": (torch.float32, 1),
    "left": (torch.int64, 1),
    "right": (torch.int64, 1),
    "share": (torch.float32, 2),
    "root": (torch.int64, 1),
}
LEAF = -1


def arrays_of(estimators: Sequence[Any], present: Array, classes: int) -> Arrays:
    """The nodes of fitted trees, one tree after the other; a class without images has no share."""
    trees = [one.tree_ for one in estimators]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    share = np.zeros((sum(tree.node_count for tree in trees), classes))
    share[:, present] = np.concatenate([tree.value[:, 0, :] for tree in trees])
    return {
        "feature": np.concatenate([np.maximum(tree.feature, 0) for tree in trees]).astype(np.int64),
        "threshold": rounded_down(np.concatenate([tree.threshold for tree in trees])),
        "left": np.concatenate([_moved(tree.children_left, start) for tree, start in zip(trees, starts, strict=True)]),
        "right": np.concatenate([_moved(tree.children_right, start) for tree, start in zip(trees, starts, strict=True)]),
        "share": (share / share.sum(1, keepdims=True)).astype(np.float32),
        "root": starts.astype(np.int64),
    }


def rounded_down(values: Array) -> Array:
    """The largest float32 that is not above each number."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _moved(children: Array, start: int) -> Array:
    return np.where(children < 0, LEAF, children + start).astype(np.int64)


def check(found: Mapping[str, Tensor], size: int, classes: int) -> bool:
    """True if every path ends: children come after their parents, and features and roots exist."""
    count = len(found["feature"])
    node = torch.arange(count)
    left, right, root = found["left"], found["right"], found["root"]
    inner = left != LEAF
    return bool(
        count
        and all(len(found[name]) == count for name in ("threshold", "left", "right", "share"))
        and found["share"].shape[1] == classes
        and ((found["feature"] >= 0) & (found["feature"] < size)).all()
        and (inner == (right != LEAF)).all()
        and (left[inner] > node[inner]).all()
        and (right[inner] > node[inner]).all()
        and (torch.maximum(left, right) < count).all()
        and len(root)
        and ((root >= 0) & (root < count)).all()
    )


def run(arrays: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Evaluate all trees at once, one level in each step; the mean of their leaves' shares."""
    node = arrays["root"].expand(len(x), -1)
    while True:
        left = arrays["left"][node]
        if bool((left == LEAF).all()):
            break
        goes_left = x.detach().gather(1, arrays["feature"][node]) <= arrays["threshold"][node]
        node = torch.where(left == LEAF, node, torch.where(goes_left, left, arrays["right"][node]))
    return from_table(arrays["share"][node].mean(1), x)
