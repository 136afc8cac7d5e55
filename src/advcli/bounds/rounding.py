"""The rounding error of float32 at each layer, so that a bound in exact arithmetic holds for the network as it runs.

A sum of n products in any order is off by at most gamma_n sum |w||x|, with gamma_n = n u / (1 - n u) and u = 2^-24
(Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); what underflows adds 2^-126 a term. So a layer is
its exact function of the float32 values that it is given, plus an unknown error e, |e| <= gamma_n (|W||x| + |b|).

The bounds are computed in float64. What that rounds, layer by layer, is a sum of the same products with 2^-53 instead of
2^-24: 2^-29 of the layer's own slack, times the number of terms of the sum. A sixteenth more slack covers sums of up to
2^25 terms. On a GPU, tensor cores may round the factors to 11 bits (TF32), which is added there.
"""

UNIT = 2.0**-24  # float32: half a unit in the last place
TENSOR_CORE = 2.0**-10  # two factors, each rounded to 11 bits
UNDERFLOW = 2.0**-126
OURS = 1 + 1 / 16  # for the float64 in which the bounds are computed
FUNCTION = 2.0**-19  # absolute: of sigmoid and tanh, which libraries compute to a few units


def gamma(terms: int, *, tensor_cores: bool = False) -> float:
    """The largest share of sum |w||x| by which a float32 sum of so many products may be off."""
    share = terms * UNIT / (1 - terms * UNIT)
    return (share + TENSOR_CORE * tensor_cores) * OURS
