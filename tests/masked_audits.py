"""`audit` on every masked network, beside an attack that knows the trick.

    python tests/masked_audits.py [NETWORK...]

The trick of each is known: around the small digit model something was done that hides its gradient. So the plain model is
attacked, and what fools it is shown to the masked one. `audit` may leave at most 5 points more. The table is printed; the
exit code is 1 where a network looks more robust than that.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from masked_networks import disguised

NETWORKS = ("saturated", "hot", "sharpened", "probabilities", "cut", "winners", "stepped", "shifted", "levelled", "quantised", "detached",
            "compressed", "voted")  # fmt: skip
EPS, IMAGES, POINTS = "0.1", "200", 0.05
CHOSEN = ("--data", "digits", "--limit", IMAGES)


def advcli(*words: str) -> str:
    """The standard output of a command that must end well."""
    here = str(Path(__file__).parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), here)))}
    return subprocess.run(
        [sys.executable, "-m", "advcli", *words],
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout


def informed(model: str, *more: str) -> float:
    """The accuracy that is left after the attack on the plain model."""
    rows = json.loads(advcli("evaluate", "plain.h5", "--model", model, "--json", *more))["rows"]
    return next(row["value"] for row in rows if row["metric"] == "accuracy")


def main(names: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        advcli("train", "-o", "plain.safetensors")
        advcli("attack", "--model", "plain.safetensors", *CHOSEN, "--eps", EPS, "--method", "autoattack", "-o", "plain.h5")
        too_robust = 0
        print(f"{'network':<14} {'informed':>8} {'audit':>8}  checks that are not PASS")
        for name in names or NETWORKS:
            allowed = ("--allow", disguised(name, Path("plain.safetensors"), Path(f"{name}.safetensors")))
            known = informed(f"{name}.safetensors", *allowed)
            found = json.loads(advcli("audit", "--model", f"{name}.safetensors", *CHOSEN, "--eps", EPS, "--json", *allowed))
            left = found["robust_accuracy"]["attacked"]["value"]
            doubts = sorted({f"{one['status']} {one['check']}" for one in found["checks"] if one["status"] != "PASS"})
            doubts += [] if found["gradients"] else ["no gradients"]
            too_robust += left > known + POINTS
            print(f"{name:<14} {known:>8.1%} {left:>8.1%}  {', '.join(doubts)}", flush=True)
    return int(too_robust > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
