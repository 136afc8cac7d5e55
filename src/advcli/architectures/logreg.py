"""Logistic regression, fitted by scikit-learn: a linear score for each class, with an exact gradient."""

from math import prod
from typing import Annotated

from torch import nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.networks.scikit_learn import LINEAR, Arrays, Fitted, linear_arrays, linear_check, linear_run
from advcli.numerics.arrays import Array


@architecture(family="fitted", fitted=True, paper="scikit-learn.org")
def logreg(
    shape: tuple[int, int, int],
    classes: int,
    *,
    inverse_penalty: Annotated[
        float, Param("Inverse of the regularisation strength: scikit-learn's C.", low=1e-9, high=1e9)
    ] = 0.1,
    rounds: Annotated[int, Param("Maximum iterations of the solver.", low=1)] = 100,
) -> nn.Module:
    def fit(x: Array, label: Array, seed: int) -> Arrays:
        from sklearn.linear_model import LogisticRegression

        found = LogisticRegression(C=inverse_penalty, max_iter=rounds, tol=1e-3, random_state=seed).fit(x, label)
        return linear_arrays(found.coef_, found.intercept_, found.classes_, classes)

    return Fitted(LINEAR, fit, linear_check(prod(shape), classes), linear_run, classes)
