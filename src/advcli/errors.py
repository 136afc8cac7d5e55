"""The errors of the program, as a small tree; every branch has its exit code.

    AdvcliError          4  the run could not continue
    ├── Busy             4  another process writes the same file
    ├── CommandError     2  the command line is wrong
    └── InputError       3  a file or data set is missing, damaged, refused or does not fit
        ├── Damaged      3  its bytes do not match its digest: for `verify` this is a result
        ├── NoGradient   3  the model has no gradient, and the attack needs one
        └── Empty        3  it is intact, but no image of it is in the requested split or selection

A message states the file or option, the fault and the remedy, in at most three lines. Exit code 1 is not an error but the
answer "no", and 130 is an interrupt.
"""


class AdvcliError(Exception):
    """The run could not continue: no memory, no space, locked by another process."""

    exit_code = 4


class CommandError(AdvcliError):
    """The command line (or the call) is wrong."""

    exit_code = 2


class InputError(AdvcliError):
    """A file or data set is missing, damaged, refused or does not fit."""

    exit_code = 3


class Damaged(InputError):
    """The content does not match its digest: for `verify` a result, otherwise exit 3."""


class NoGradient(InputError):
    """The model has no gradient, and the attack needs one."""


class Empty(InputError):
    """No image is in the requested split or selection."""


class Busy(AdvcliError):
    """Another process writes the same file."""


def described(error: BaseException, most: int = 160) -> str:
    """The kind and the text of an error that is not ours, such as one of the user's own code, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:most]}"
