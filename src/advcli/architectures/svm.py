"""Support vector machines, one against the rest, fitted by scikit-learn: linear, or with a Gaussian kernel.

score_k(x) = w_k x + b_k, or sum_i a_ik exp(-gamma |x - s_i|^2) + b_k. Both are differentiable.
"""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import architecture
from advcli.networks.scikit_learn import LINEAR, Arrays, Fitted, linear_arrays, linear_check, linear_run
from advcli.numerics.arrays import Array

GAUSSIAN = {"support": (torch.float32, 2), "weight": (torch.float32, 2), "bias": (torch.float32, 1)}


@architecture(family="fitted", fitted=True, paper="scikit-learn.org")
def svm(
    shape: tuple[int, int, int],
    classes: int,
    *,
    kernel: Annotated[Literal["linear", "rbf"], Param("Linear or Gaussian (rbf) kernel.")] = "linear",
    inverse_penalty: Annotated[
        float | None, Param("Penalty of errors: scikit-learn's C. [default: 0.01; with rbf 5]", low=1e-9, high=1e9)
    ] = None,
    gamma: Annotated[float, Param("Coefficient gamma of the Gaussian kernel.", low=1e-9, high=1e9)] = 0.02,
) -> nn.Module:
    size, cost = prod(shape), inverse_penalty or (0.01 if kernel == "linear" else 5.0)

    def fit_linear(x: Array, label: Array, seed: int) -> Arrays:
        from sklearn.svm import LinearSVC

        found = LinearSVC(C=cost, dual=False, tol=1e-3, random_state=seed).fit(x, label)
        return linear_arrays(found.coef_, found.intercept_, found.classes_, classes)

    def fit_gaussian(x: Array, label: Array, seed: int) -> Arrays:
        from sklearn.svm import SVC

        present = np.unique(label)
        found = {k: SVC(C=cost, gamma=gamma, random_state=seed).fit(x, label == k) for k in present}
        kept = np.unique(np.concatenate([one.support_ for one in found.values()]))
        weight, bias = np.zeros((classes, len(kept))), np.zeros(classes)
        for k, one in found.items():
            weight[k, np.searchsorted(kept, one.support_)], bias[k] = one.dual_coef_[0], one.intercept_[0]
        absent = np.setdiff1d(np.arange(classes), present)  # never wins: what is near an image counts at most once
        bias[absent] = (bias + np.minimum(weight, 0).sum(1))[present].min() - 1
        return {"support": x[kept], "weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}

    def check_gaussian(found: Mapping[str, Tensor]) -> bool:
        count = len(found["support"])
        return (
            found["support"].shape == (count, size)
            and found["weight"].shape == (classes, count)
            and found["bias"].shape == (classes,)
        )

    def run_gaussian(arrays: Mapping[str, Tensor], x: Tensor) -> Tensor:
        near = torch.exp(-gamma * torch.cdist(x, arrays["support"]).square())
        return nn.functional.linear(near, arrays["weight"], arrays["bias"])

    if kernel == "linear":
        return Fitted(LINEAR, fit_linear, linear_check(size, classes), linear_run, classes)
    return Fitted(GAUSSIAN, fit_gaussian, check_gaussian, run_gaussian, classes)
