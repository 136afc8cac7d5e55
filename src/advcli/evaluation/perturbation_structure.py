"""Measures of how a perturbation is arranged in an image: its frequencies, how far it spreads, whether it follows edges.

With P(u, v) the power spectrum of a perturbation, summed over channels, and R the distance of a frequency from zero in cycles
per image: the spectrum is the share of the power at every rounded R, `low` the share at R <= r, with the mean at R = 0, and
`centroid` the mean of R weighted by P. With e the sum of squares over channels at each of n pixels: `area` is
(sum e)^2 / (n sum e^2), 1 where all pixels change alike and 1/n for a single one; `spread` is the root mean square distance,
weighted by e, from the weighted centre, as a share of the image's diagonal. `edges` is Pearson's correlation, over pixels, of the
mean |perturbation| of the channels with the gradient magnitude (central differences) of the original's mean channel; an image
without edges, or a perturbation of one size everywhere, has none (NaN).
"""

from dataclasses import dataclass

import numpy as np

from advcli.numerics.arrays import Array

MEASURES = ("low", "centroid", "area", "spread", "edges")


@dataclass(frozen=True)
class Frequencies:
    """The frequencies of an image of one size, and the ring of each."""

    far: Array  # (H, W) cycles per image
    radius: float  # up to here they are low

    @classmethod
    def of(cls, size: tuple[int, int], radius: float | None) -> "Frequencies":
        rows, columns = (np.fft.fftfreq(n, 1 / n) for n in size)
        return cls(np.hypot(rows[:, None], columns), min(size) / 8 if radius is None else radius)

    @property
    def ring(self) -> Array:
        found: Array = np.rint(self.far).astype(np.int64)
        return found

    @property
    def rings(self) -> int:
        return int(self.ring.max()) + 1

    def white(self) -> tuple[Array, dict[str, float]]:
        """The spectrum, `low` and `centroid` of white noise, whose power is the same at every frequency."""
        spectrum = np.bincount(self.ring.ravel()) / self.far.size
        return spectrum, {"low": float((self.far <= self.radius).mean()), "centroid": float(self.far.mean())}


def structure_of(perturbations: Array, originals: Array | None, frequencies: Frequencies) -> tuple[Array, dict[str, Array]]:
    """(B, rings) spectra and (B,) of every measure; NaN for a perturbation of nothing."""
    p = perturbations.astype(np.float64)
    power = np.square(np.abs(np.fft.fft2(p))).sum(1).reshape(len(p), -1)
    power = _shares(power)
    far = frequencies.far.ravel()
    spectrum = power @ (frequencies.ring.ravel()[:, None] == np.arange(frequencies.rings))
    found = {"low": power @ (far <= frequencies.radius), "centroid": power @ far, **_in_space(np.square(p).sum(1))}
    missing = np.full(len(p), np.nan)
    return spectrum, {**found, "edges": missing if originals is None else _along_edges(np.abs(p).mean(1), originals)}


def _shares(values: Array) -> Array:
    """Rows divided by their sums; NaN for rows of zeros."""
    total = values.sum(1, keepdims=True)
    found: Array = np.divide(values, total, out=np.full_like(values, np.nan), where=total > 0)
    return found


def _in_space(energy: Array) -> dict[str, Array]:
    """`area` and `spread` of (B, H, W) energies."""
    count, high, wide = energy.shape
    share = _shares(energy.reshape(count, -1)).reshape(energy.shape)
    y, x = np.arange(high), np.arange(wide)
    down, across = share.sum(2), share.sum(1)
    variance = sum(each @ at**2 - np.square(each @ at) for each, at in ((down, y), (across, x)))
    spread = np.sqrt(np.maximum(variance, 0)) / np.hypot(high, wide)
    return {"area": 1 / (high * wide * np.square(share).sum((1, 2))), "spread": spread}


def _along_edges(size: Array, originals: Array) -> Array:
    """`edges` of (B, H, W) sizes of perturbations."""
    grey = originals.astype(np.float64).mean(1)
    slope = np.hypot(*(np.gradient(grey, axis=axis) if grey.shape[axis] > 1 else np.zeros_like(grey) for axis in (1, 2)))
    one, other = (each.reshape(len(each), -1) - each.mean((1, 2))[:, None] for each in (size, slope))
    length = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    product = np.einsum("ij,ij->i", one, other)
    found: Array = np.divide(product, length, out=np.full(len(size), np.nan), where=length > 1e-9)
    return found
