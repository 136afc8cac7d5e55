"""Everything that is written to stdout and stderr: control characters are escaped, and long texts are cut.

stdout is the result, which must be written completely or the command fails; stderr has messages, and its failures are ignored.
"""

import os
import re
import sys
from contextlib import suppress

from advcli.errors import AdvcliError

# C0 but newline and tab, DEL, C1, marks that turn or hide text, separators of lines, halves of surrogate pairs
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
MOST_LINES, MOST_ERROR, MOST_NOTE = 3, 500, 2000  # lines of an error, characters of a line


def visible(text: str) -> str:
    r"""The text with every control and direction character escaped, such as \u001b: no file can control the terminal."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}" if found[0] <= "\uffff" else f"\\U{ord(found[0]):08x}", text)


def on_one_line(name: str) -> str:
    """The name of a file or column, without line breaks or tabs: a table stays a table, whatever a file is called."""
    return visible(name.replace("\n", "\\n").replace("\t", "\\t"))


def cut(text: str, most: int) -> str:
    """The text, or its beginning and end with its length."""
    if len(text) <= most:
        return text
    return f"{text[: most - 100]} ... {text[-60:]} ({len(text)} characters)"


def result(text: str) -> None:
    """Print a result on stdout; raise an error if it cannot be written."""
    try:
        encoding = sys.stdout.encoding or "utf-8"
        print(visible(text).encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        forget_stdout()  # what could not be written is not tried again when the program ends
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AdvcliError(f"stdout: the result could not be written ({reason.lower()})") from None


def say(text: str) -> None:
    """Print a message on stderr, if possible."""
    with suppress(OSError, ValueError):
        print("\n".join(visible(cut(line, MOST_NOTE)) for line in text.split("\n")), file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Print an error: at most three lines, each of limited length."""
    for line in message.splitlines()[:MOST_LINES]:
        say(f"advcli: {cut(line, MOST_ERROR)}")


def occupy_closed_streams() -> None:
    """Open /dev/null in place of closed streams, so that no file of ours gets the number of stdout."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # stays open as long as the program runs
    if sys.stdout is None:
        sys.stdout = open(os.devnull)  # noqa: SIM115  # to read only: a result that is printed fails


def forget_stdout() -> None:
    """Stop writing to stdout, buffered text included: it failed, or its reader closed it."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # stays open as long as the program runs
