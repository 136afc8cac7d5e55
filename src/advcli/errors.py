"""What can go wrong, as a small tree; every branch has its exit code.

    AdvcliError          4  the run could not go on
    ├── Busy             4  another process writes the same file
    ├── CommandError     2  the command line is wrong
    └── InputError       3  a file or data set is missing, damaged, refused or does not fit
        ├── Damaged      3  its bytes are not what its digest says: for `verify` an answer
        ├── NoGradient   3  a model gives none, and the attack needs one
        └── Empty        3  it is whole, and no image of it falls into what was asked for

A message says what, where, and what to do, in at most three lines. 1 is no error but an answer ("no"), and 130 is
an interrupt.
"""


class AdvcliError(Exception):
    """The run could not go on: no memory, no space, locked by another."""

    exit_code = 4


class CommandError(AdvcliError):
    """The command line (or the call) is wrong."""

    exit_code = 2


class InputError(AdvcliError):
    """A file or data set is missing, damaged, refused or does not fit."""

    exit_code = 3


class Damaged(InputError):
    """The content is not what the digest says: for `verify` an answer, for everyone else exit 3."""


class NoGradient(InputError):
    """The model gives no gradient, and the attack needs one."""


class Empty(InputError):
    """No image falls into the split or the selection that was asked for."""


class Busy(AdvcliError):
    """Another process writes the same file."""
