"""The share of the victim's mistakes that the defended model classifies correctly.

recovered = #(pred(x) = y and victim(x_adv) != y) / #(victim(x_adv) != y), over all rows that the victim misclassifies. The
victim's decisions are stored in the set; if the victim is among the models, they are computed again.
"""

from advcli.catalog.registry import metric
from advcli.evaluation.decisions import AttackedVerdicts, Figures


@metric(of="adversarial", needs=("victim",))
def recovered(verdicts: AttackedVerdicts) -> Figures:
    known = verdicts.known()
    wrong = known.victim != known.labels
    right = known.predictions == known.labels
    yield known.share("recovered", right, wrong, victim="recomputed" if known.recomputed else "stored")
