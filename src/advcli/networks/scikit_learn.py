"""Classifiers fitted by scikit-learn: stored as arrays like any weights, and run as a module. No estimator is ever stored.

A family is three functions: `fit` turns images and labels into arrays, `check` checks the arrays of a file, `run` applies them
to a batch. If the output is a table lookup, the gradient is exactly zero, and attacks report that; such a family can offer
attacks its parts by a fourth function.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from advcli.errors import AdvcliError, InputError
from advcli.networks.structure import Structure
from advcli.numerics.arrays import Array

Arrays = dict[str, Array]
Fit = Callable[[Array, Array, int], Arrays]  # (N, D) images, (N,) labels, seed
Check = Callable[[Mapping[str, Tensor]], bool]
Run = Callable[[Mapping[str, Tensor], Tensor], Tensor]  # (B, D) images -> (B, K) logits
Parts = Callable[[Mapping[str, Tensor]], Structure]
LEAST = 1e-6  # probability that is taken for none


class Fitted(nn.Module):
    """A family and its arrays, after fitting."""

    def __init__(
        self,
        kinds: Mapping[str, tuple[torch.dtype, int]],
        fit: Fit,
        check: Check,
        run: Run,
        classes: int,
        parts: Parts | None = None,
    ) -> None:
        super().__init__()
        self.kinds, self._fit, self._check, self._run, self.classes = kinds, fit, check, run, classes
        self._parts = parts

    def fit(self, x: Array, label: Array, seed: int) -> None:
        """Fit (N, D) images with scikit-learn."""
        try:
            found = self._fit(x, label, seed)
        except ValueError as error:  # images of one class, say
            raise AdvcliError(f"scikit-learn cannot fit these {len(x)} images: {' '.join(str(error).split())[:200]}") from None
        self.adopt({name: torch.from_numpy(np.ascontiguousarray(found[name])) for name in self.kinds}, "the fit")

    def adopt(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Load arrays from a file: first checks names, types and shapes, then everything that an index could break."""
        found = {name: (tensor.dtype, tensor.ndim) for name, tensor in tensors.items()}
        if found != dict(self.kinds) or not self._check(tensors):
            raise InputError(f"{where}: its arrays do not fit this family; expected {', '.join(self.kinds)}")
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, x: Tensor) -> Tensor:
        arrays = dict(self.named_buffers())
        return self._run(arrays, x.flatten(1)) if arrays else x.new_zeros(len(x), self.classes)  # not fitted yet

    def structure(self) -> Structure | None:
        """The parts that attacks can read: leaves or references; None if the family offers none."""
        arrays = dict(self.named_buffers())
        return self._parts(arrays) if self._parts and arrays else None


def from_table(probability: Tensor, x: Tensor) -> Tensor:
    """Logits of looked-up probabilities, connected to the image by a gradient of zero."""
    return log_of(probability).to(x.dtype) + 0 * x.sum(1, keepdim=True)


def log_of(probability: Tensor) -> Tensor:
    """The logarithm of probabilities, which is finite for none as well."""
    return probability.clamp_min(LEAST).log()


def linear_run(arrays: Mapping[str, Tensor], x: Tensor) -> Tensor:
    return nn.functional.linear(x, arrays["weight"], arrays["bias"])


LINEAR = {"weight": (torch.float32, 2), "bias": (torch.float32, 1)}


def linear_check(size: int, classes: int) -> Check:
    return lambda found: found["weight"].shape == (classes, size) and found["bias"].shape == (classes,)


def linear_arrays(weight: Array, bias: Array, present: Array, classes: int) -> Arrays:
    """One row for each class; scikit-learn keeps a single row for two classes, that of the second, and none for a class
    without images, which is never predicted.
    """
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    rows, level = np.zeros((classes, weight.shape[1])), np.full(classes, (bias + np.minimum(weight, 0).sum(1)).min() - 1)
    rows[present], level[present] = weight, bias
    return {"weight": rows.astype(np.float32), "bias": level.astype(np.float32)}
