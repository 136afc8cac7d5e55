"""One worker of `attack --workers N`: reads its command from stdin, makes parts, and says nothing unless it fails.

python -m advcli.verbs.attack_worker
"""

import json
import os
import sys
import traceback
from typing import Any

from advcli.catalog.requests import AttackRequest
from advcli.crafting.share import Share
from advcli.crafting.together import with_fitted
from advcli.crafting.work import share
from advcli.errors import AdvcliError
from advcli.files.parts import Parts
from advcli.runtime import devices, interrupts
from advcli.runtime.reporter import SILENT
from advcli.verbs.attack import prepared


def work(task: dict[str, Any]) -> None:
    """Make parts until all are there, or until the launcher is gone."""
    asked, own = AttackRequest.read("attack", task["given"])
    with devices.exactly(task["threads"]):
        ready = prepared(asked, own, SILENT, local=task["member"])
        with devices.threads(ready.run.data.shape):
            run, parts = with_fitted(ready.run, ready.asked.output is None), Parts.of(ready.path)
            parts.join(run.made)
            shared = Share(task["member"], task["of"])
            share(run, parts, shared, SILENT, stop=lambda: os.getppid() != task["parent"])


def main() -> int:
    with interrupts.handle_signals():
        try:
            work(json.load(sys.stdin))
        except AdvcliError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            traceback.print_exception(error)
            return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
