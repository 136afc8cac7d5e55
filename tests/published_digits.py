"""A network that nobody here trained: imported from PyPI's digit-recognizer-py (MIT), measured on MNIST, attacked and audited.

    ADVCLI_DATA=FOLDER python tests/published_digits.py

pip downloads the package into a temporary folder; only its weights are taken out of it, and nothing of it is installed or run. Its
class is written here as a user would write it. The exit code is 1 where a figure is not what it must be.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE, WEIGHTS = "digit-recognizer-py==0.1.0", "digit_recognizer/models/handwriting_model.pth"
NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        sizes, layers = [1, 32, 64, 128], []
        for inside, outside in zip(sizes, sizes[1:]):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.conv_layers = nn.Sequential(*layers)
        self.fc_layers = nn.Sequential(nn.Linear(1152, 256), nn.ReLU(), nn.Linear(256, num_classes))

    def forward(self, x):
        return self.fc_layers(self.conv_layers(x).flatten(1))
"""
ALLOW = ("--allow", "digits_net:Net")
CLEAN = 0.9906  # what its own class gives in plain PyTorch; 0.9853 without its normalisation
EPS, IMAGES = "0.1", "200"


def download(folder: Path) -> None:
    """Put the weights of the package into a folder, as pip finds it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d", str(folder), PACKAGE]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (folder / "weights.pth").write_bytes(archive.read(WEIGHTS))


def advcli(*words: str) -> subprocess.CompletedProcess[str]:
    """A command that must end well, with what it printed."""
    return subprocess.run([sys.executable, "-m", "advcli", *words], check=True, capture_output=True, text=True)


def rows(*words: str) -> dict[str, float]:
    """The rates that `evaluate` gives, by metric and kind of set."""
    found = json.loads(advcli("evaluate", "--json", *ALLOW, *words).stdout)["rows"]
    return {f"{one['metric']} {one['kind']}": one["value"] for one in found}


def main() -> int:
    failures = []

    def told(name: str, value: object, good: bool) -> None:
        print(f"{name:<44} {value}{'' if good else '   NOT AS EXPECTED'}", flush=True)
        failures.extend([] if good else [name])

    with tempfile.TemporaryDirectory() as text:
        os.chdir(text)
        download(Path())
        Path("digits_net.py").write_text(NET)
        words = ("import", "weights.pth", "--arch", "digits_net:Net", "--data", "mnist")
        without = advcli(*words, "-o", "without.safetensors").stderr
        advice = "with MNIST's mean and deviation" in without
        told("a better normalisation is noticed", "yes" if advice else "no", advice)
        advcli(*words, "--mean", "0.1307", "--std", "0.3081")
        clean = rows("--data", "mnist")["accuracy clean"]
        told("clean accuracy on 10,000 images", f"{clean:.2%}", abs(clean - CLEAN) < 0.0005)
        advcli("attack", "--method", "pgd", "--eps", EPS, "--limit", IMAGES, *ALLOW)
        attacked = rows("adversarial.h5")["accuracy adversarial"]
        told(f"accuracy under pgd, linf {EPS}, {IMAGES} images", f"{attacked:.1%}", attacked < clean - 0.1)
        audit = json.loads(advcli("audit", "--effort", "quick", "--eps", EPS, "--json", *ALLOW).stdout)
        left = audit["robust_accuracy"]["attacked"]
        told(f"audit, quick, linf {EPS}: accuracy left", f"{left['value']:.1%} of {left['n']}", left["value"] < clean - 0.1)
        doubts = sorted({f"{one['status']} {one['check']}" for one in audit["checks"] if one["status"] != "PASS"})
        told("its trust checks", f"{len(audit['checks'])}, not PASS: {', '.join(doubts) or 'none'}", not doubts)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
