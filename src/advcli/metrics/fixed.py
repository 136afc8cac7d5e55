"""The share of the victim's mistakes that a defense sets right: fixed labels.

fixed = #(pred(x) = y and victim(x_adv) != y) / #(victim(x_adv) != y), over all rows that the victim has wrong. What the
victim says is stored in the set; where the victim is among the models, it is asked again.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Figures


@metric(of="adversarial", needs=("victim",))
def fixed(verdicts: AttackedVerdicts) -> Figures:
    known = verdicts.known()
    wrong = known.victim != known.labels
    right = known.predictions == known.labels
    yield known.share("fixed", right, wrong, victim="recomputed" if known.recomputed else "stored")
