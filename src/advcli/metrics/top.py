"""Top-k accuracy: the share of images whose label is among the k largest logits; a rejected image never counts.

An image that was attacked several times must fulfil this in all of its rows.
"""

from collections.abc import Iterator
from typing import Annotated

from advcli.catalog.params import Param
from advcli.catalog.registry import metric
from advcli.errors import CommandError
from advcli.evaluation.decisions import Figures, Verdicts


@metric(of="any")
def top(verdicts: Verdicts, *, top: Annotated[str, Param("Values of k.", form="K,K,...")] = "1,5") -> Figures:
    known = verdicts.known()
    for k in counts(top):
        yield known.throughout(f"top-{k}", (known.said.rank < k) & (known.predictions >= 0))


def counts(texts: str) -> Iterator[int]:
    """The values of k in a list of them."""
    for text in texts.split(","):
        if not text.strip().isdecimal() or int(text) < 1:
            raise CommandError(f"--top: {texts!r} is not a list such as 1,5")
        yield int(text)
