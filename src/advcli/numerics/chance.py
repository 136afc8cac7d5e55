"""Whether a classifier does better than one that always gives the most frequent class, by the exact binomial test."""

from scipy.special import bdtrc

SURE = 0.05
FEWEST = 20  # images of which something can be said


def is_chance(right: int, n: int, most: int) -> bool:
    """True if `right` of n is no evidence for more than `most` of n, the images of the most frequent class."""
    return right == 0 or float(bdtrc(right - 1, n, most / n)) > SURE
