"""Top-k accuracy: the share of images whose label is among the k largest logits; a rejected image never counts.

An image that was attacked several times must fulfil this in all of its rows.
"""

from typing import Annotated

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.errors import CommandError
from advcli.evaluation.decisions import Figures, Verdicts


@metric(of="any")
def top(verdicts: Verdicts, *, top: Annotated[str, Param("Values of k.", form="K,K,...")] = "1,5") -> Figures:
    known = verdicts.known()
    for text in top.split(","):
        if not text.strip().isdecimal() or int(text) < 1:
            raise CommandError(f"--top: {top!r} is not a list such as 1,5")
        among = (known.said.rank < int(text)) & (known.predictions >= 0)
        yield known.throughout(f"top-{int(text)}", among)
