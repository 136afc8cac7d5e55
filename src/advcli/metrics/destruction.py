"""The rate at which a transform of images destroys adversarial ones: how many are classified correctly again behind it.

d = sum C(x) (1 - C(x')) C(T(x')) / sum C(x) (1 - C(x')), where C is 1 for a correct decision, x' is the attacked image and T the
transform (arXiv:1607.02533). The set is a filtered one, made by `advcli defend --method transform FILE`. `kept` is the share of
the originals that were right and are right through the transform too, and `destruction-kept` the rate over these alone: a
transform that ruins images destroys nothing there. With --top, correct means that the label is among the k largest logits.
"""

from typing import Annotated

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Decisions, Figures
from advcli.metrics.top import counts
from advcli.numerics.arrays import Array


@metric(of="adversarial", needs=("filter",))
def destruction(verdicts: AttackedVerdicts, *, top: Annotated[str, Param("Values of k.", form="K,K,...")] = "1,5") -> Figures:
    known = verdicts.known()
    for k in counts(top):
        end = f"-top-{k}" if k > 1 else ""
        before, attacked, after = (right(one, k) for one in (known.before, known.filter.attacked, known.said))
        broken = before & ~attacked & (known.filter.attacked.predictions >= 0)
        kept = before & right(known.filter.original, k)
        yield known.share(f"destruction{end}", after, broken)
        yield known.share(f"destruction-kept{end}", after, broken & kept)
        yield known.share(f"kept{end}", kept, before)


def right(said: Decisions, k: int) -> Array:
    """Which rows have their label among the k best classes; a rejected row has not."""
    found: Array = (said.rank < k) & (said.predictions >= 0)
    return found
