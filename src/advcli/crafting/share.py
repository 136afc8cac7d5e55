"""How a process shares one attack with others: as a worker of a launcher, as a rank of torchrun or Slurm, or as one shard.

A worker and a rank take whatever part is free; a shard makes its own parts alone and needs nobody to be there at the same time.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from advcli.errors import CommandError

RANKS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID"),
)


@dataclass(frozen=True, slots=True)
class Share:
    """One of several processes that make one output."""

    member: int  # from 0
    of: int
    dealt: bool = False  # parts are dealt by their number; otherwise they are leased to whoever comes first
    local: int = 0  # among those on this machine

    @property
    def leads(self) -> bool:
        """True for the rank that keeps other commands away and assembles the output."""
        return not self.dealt and self.member == 0

    @property
    def follows(self) -> bool:
        """True for the other ranks, which say nothing: the leading one speaks for all."""
        return not self.dealt and self.member > 0

    def order(self, count: int) -> list[int]:
        """The numbers of the parts in the order in which this process tries them."""
        if self.dealt:
            return list(range(self.member, count, self.of))
        first = self.member * count // self.of
        return [(first + k) % count for k in range(count)]


def shard(text: str) -> Share:
    """The share that `--shard 3/8` names."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise CommandError(f"--shard {text}: expected K/N with K from 1 to N, such as 3/8")
    return Share(int(match[1]) - 1, int(match[2]), dealt=True)


def rank(environment: Mapping[str, str] = os.environ) -> Share | None:
    """The share of a process that torchrun or srun started beside others; None for one that was started alone."""
    for member, of, local, sign in RANKS:
        if sign in environment and int(environment.get(of, "1")) > 1:
            return Share(int(environment[member]), int(environment[of]), local=int(environment.get(local, "0")))
    return None
