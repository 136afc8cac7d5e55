"""Decision trees as arrays: every node's feature, threshold, children and class shares, of one tree or of many.

An image goes left if feature <= threshold. scikit-learn compares single-precision features with double-precision thresholds;
thresholds rounded down to single precision split the images in the same way.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advcli.networks.scikit_learn import Arrays, from_table, log_of
from advcli.networks.structure import Leaves
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


def leaves(arrays: Mapping[str, Tensor]) -> Leaves:
    """The leaves of all trees, each with the bounds that its path sets."""
    left, right, root = arrays["left"], arrays["right"], arrays["root"]
    parent, number = torch.full_like(left, LEAF), torch.full_like(left, LEAF)
    inner = (left != LEAF).nonzero()[:, 0]
    parent[left[inner]] = parent[right[inner]] = inner
    number[root] = torch.arange(len(root), device=root.device)
    node = leaf = (left == LEAF).nonzero()[:, 0]
    path = [(torch.full_like(leaf, LEAF), *_bounds(leaf, -torch.inf, torch.inf))]  # a tree may be a single leaf
    while bool((up := (parent[node] != LEAF) & (number[node] == LEAF)).any()):
        above = torch.where(up, parent[node], node)
        split, goes_left = arrays["threshold"][above], left[above] == node
        low, high = split.where(up & ~goes_left, -torch.inf), split.where(up & goes_left, torch.inf)
        path.append((arrays["feature"][above].where(up, LEAF), low, high))
        node = above
    feature, low, high = (torch.stack(each, 1) for each in zip(*path, strict=True))
    known = number[node] != LEAF  # no image comes to a leaf under no root
    share = arrays["share"][leaf[known]]
    return Leaves(*_merged(feature[known], low[known], high[known]), share, log_of(share), number[node[known]])


def _bounds(leaf: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    return torch.full(leaf.shape, low, device=leaf.device), torch.full(leaf.shape, high, device=leaf.device)


def _merged(feature: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each feature of a path once, with the tightest of its bounds, and which entries are used; LEAF stands for none."""
    order = feature.argsort(dim=1, descending=True, stable=True)
    feature, low, high = (one.gather(1, order) for one in (feature, low, high))
    fresh = torch.ones_like(feature)
    fresh[:, 1:] = (feature[:, 1:] != feature[:, :-1]).long()
    place = fresh.cumsum(1) - 1
    feature = torch.full_like(feature, LEAF).scatter(1, place, feature)
    low = torch.full_like(low, -torch.inf).scatter_reduce(1, place, low, "amax")
    high = torch.full_like(high, torch.inf).scatter_reduce(1, place, high, "amin")
    used = feature != LEAF
    width = max(1, int(used.sum(1).max()))
    used = used[:, :width]
    feature, low, high = (torch.where(used, one[:, :width], one[:, :1]) for one in (feature, low, high))
    return feature.clamp_min(0), low, high, used
