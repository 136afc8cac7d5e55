"""A decision tree, fitted by scikit-learn: compares pixels with thresholds; its gradient is zero everywhere."""

from functools import partial
from math import prod
from typing import Annotated

from torch import nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.networks import scikit_trees
from advcli.networks.scikit_learn import Arrays, Fitted
from advcli.numerics.arrays import Array


@architecture(family="fitted", fitted=True, differentiable=False, paper="scikit-learn.org")
def tree(
    shape: tuple[int, int, int],
    classes: int,
    *,
    depth: Annotated[int | None, Param("Maximum depth. [default: unlimited]", low=1)] = None,
    leaf: Annotated[int, Param("Minimum number of training images in a leaf.", low=1)] = 1,
) -> nn.Module:
    def fit(x: Array, label: Array, seed: int) -> Arrays:
        from sklearn.tree import DecisionTreeClassifier

        found = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=leaf, random_state=seed).fit(x, label)
        return scikit_trees.arrays_of([found], found.classes_, classes)

    check = partial(scikit_trees.check, size=prod(shape), classes=classes)
    return Fitted(scikit_trees.KINDS, fit, check, scikit_trees.run, classes, scikit_trees.leaves)
