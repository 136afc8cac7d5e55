"""The share of the initially correct images that each stage of a cascade of attacks broke.

Each image counts for the first stage that broke it, because later stages do not work on it. The shares add up to the
success rate.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.broken import turned
from advcli.evaluation.decisions import AttackedVerdicts, Figures


@metric(of="adversarial", default=True, needs=("stages",))
def broken_by(verdicts: AttackedVerdicts) -> Figures:
    known = verdicts.known()
    won, right = turned(known)
    for number, name in enumerate(known.stages):
        yield known.share("broken-by", won & (known.stage == number), right, stage=name)
