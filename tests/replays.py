"""Random command lines, and for every file that they write the line that `show` prints: it must make the same bytes.

    python tests/replays.py --count 100 --seed 1

Verbs, methods, options, choices and ranges come from the registry: what is new joins by itself. By hand stand here only what
there is to work on, what makes a method quick, and texts for options that take any text. A line that is refused (exit 2 or
3) is drawn again; every other failure is a finding.
"""

import argparse
import collections
import importlib
import io
import json
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

from advcli.catalog import discovery
from advcli.catalog.params import Option
from advcli.cli import typer_options
from advcli.cli.app import main
from advcli.files import sandbox

OWN = '''"""Methods of a user's own."""
import torch
from torch import nn
from advcli.extend import Dataset, Filtered, architecture, attack, defense, source

@architecture(family="mine")
def net(shape, classes, *, width: int = 8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))

@attack(family="mine", kind="direction", norms=("linf",), access="none", targeted=False)
def shift(victim, x, goal, *, rng, down: bool = False):
    return torch.full_like(x, -1.0 if down else 1.0)

@defense(family="mine", gradient="exact")
def blur(model, *, width: int = 3):
    return Filtered(model, lambda x: nn.functional.avg_pool2d(x, width, 1, width // 2))
'''
FIRST = (  # what all lines are drawn over
    "train --epochs 2 --limit 300",
    "train --arch mlp --hidden 16 --epochs 2 -o mlp.safetensors",
    "train --arch softmax --classes 6,7 --epochs 2 -o two.safetensors",
    "train --arch own:net --epochs 2 -o own.safetensors",
    "train --arch softmax --data photos --image-size 8 --resize 9 --epochs 2 -o sized.safetensors",
    "attack --steps 2 --limit 6 --eps 0.1,0.2 -o pgd.h5",
    "attack --method universal --limit 6 --fit-limit 40 --epochs 1 -o uni.h5",
    "defend --bits 1 -o squeezed.safetensors",
    "defend --model own.safetensors --allow own:net --method own:blur -o blurred.safetensors",
    "defend --method average --samples 2 -o random.safetensors",
    "defend --method squeeze-detector --limit 40 -o rejecting.safetensors",
    "import pictures --split train -o pictures.h5",
)
MODELS = ("model", "mlp", "two", "own", "sized", "squeezed", "blurred", "random", "rejecting")
SETS = ("digits", "digits:val", "digits:test", "digits:train", "pictures", "pictures:test", "split", "split:train", "photos",
        "images.npz", "both.npz", "both.npz:train", "pictures.h5", "pgd.h5", "-dashed.h5", "./mnist")  # fmt: skip
METHODS = {"attack": ("own:shift",), "defense": ("own:blur",), "architecture": ("own:net",)}
LEFT_OUT = (
    "force",
    "dry_run",
    "download",
    "data_dir",
    "device",
    "pretrained",
    "freeze_until",
    "workers",
    "shard",
)  # no byte, or not here
BY_HAND = (
    "files",
    "file",
    "allow",
    "check",
    "output",
    "teacher",
    "image_size",
    "resize",
    "method",
    "recipe",
    "arch",
    "input",
    "augment_adv",
    "fooling",
)
BIG = (
    "dm-preact-resnet",
    "dm-wrn",
    "googlenet-small",
    "preact-resnet18",
    "resnet18",
    "wrn",
    "wrn-10-2",
    "wrn-16-2",
    "lenet",
    "lenet-pool",
)  # for larger pictures, or slow
ALWAYS = ("steps", "evaluations", "rounds", "epochs", "passes", "samples", "limit", "fit_limit", "count")  # they cost
WHOLE = {
    "steps": (1, 3), "evaluations": (2, 6), "rounds": (1, 2), "epochs": (1, 2), "passes": (2, 3), "samples": (1, 3),
    "fit_limit": (20, 40), "count": (1, 3), "refinements": (0, 2), "restarts": (1, 2), "per_class": (1, 2), "eot": (1, 3),
    "max_queries": (3, 20), "candidates": (2, 4), "neighbours": (1, 3), "references": (10, 30), "depth": (1, 3),
    "width": (1, 9), "hidden": (4, 8), "batch_size": (3, 40), "border": (0, 1), "patience": (1, 2), "leaf": (1, 3),
    "seed": (0, 2**63 - 1), "quality": (30, 90), "bits": (1, 8),
}  # fmt: skip
LIMIT = {"attack": (2, 6), "train": (40, 60), "defend": (30, 40)}
REAL = {"clip": 1.0, "ema": 0.9, "lr": 0.01, "stop_at": 0.9, "cut": 0.5, "ink_tolerance": 0.5, "inverse_penalty": 0.1,
        "max_rot": 9.0, "max_shift": 1.0, "rate": 0.3, "guidance": 1.0, "warmup": 1.0, "eps_max": 0.2}  # fmt: skip
TEXTS = {
    "eps": ("0.1", "8/255", "0.05,0.2", "0:0.2:0.1", "1e-1"), "target": ("6", "next", "random", "least-likely", "other", "all"),
    "classes": ("6,7", "7,6"), "part": ("1/2", "2/3"), "mean": ("0.3",), "std": ("0.5", "1/2"), "augment": ("crop", "noise:0.1", "crop,flip"),
    "preprocess": ("gaussian:sigma=1", "squeeze:bits=2"), "step_size": ("eps/4", "0.03", "2/255", "eps/steps"),
    "attack": ("pgd:steps=2", "mim:steps=2,decay=0.5"), "arch": ("mlp:hidden=8", "softmax"), "hidden": ("8,4",),
    "squeezers": ("bits:2", "bits:1,median:3x3"), "reduce": ("pca:0.7", "none"), "nlm": ("5-3-9",), "detectors": ("l1,jsd:10", "l2"),
    "network": ("mlp:hidden=8",), "median": ("2x2", "3x1"), "grid": ("3,3,3",),
    "against": ("fgsm:eps=0.1", "pgd:steps=2"),
    "model": tuple(f"{one}.safetensors" for one in MODELS), "member": ("mlp.safetensors", "squeezed.safetensors"),
    "apply": ("uni.universal.h5",),
    "weights": ("model.safetensors", "weights.pt", "mlp.safetensors"), "data": SETS, "fit_data": SETS,
}  # fmt: skip
TEACHERS = ("mlp.safetensors", "own.safetensors", "random.safetensors")
NAMES = ("x", "-x", "x y", "x.y", "\u00e9")
RARE = ("apply", "weights", "classes", "mean", "std", "member", "split")


def prepare() -> None:
    """Pictures in folders, archives and a module of methods; foreign weights come later."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels, labels = (found.images * 15.9375).astype(np.uint8), found.target
    for row, (picture, label) in enumerate(zip(pixels[:150], labels, strict=False)):
        part = "train" if row < 100 else "test"
        for folder, one in (
            ("pictures", picture),
            (f"split/{part}", picture),
            ("mnist", picture),
            ("photos", picture.repeat(2, 0)),
        ):
            Path(folder, str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(one).save(Path(folder, str(label), f"{row:03d}.png"))
    np.savez("images.npz", x=pixels[150:200], y=labels[150:200])
    np.savez("both.npz", x_train=pixels[200:300], y_train=labels[200:300], x_test=pixels[300:340], y_test=labels[300:340])
    Path("own.py").write_text(OWN, encoding="utf-8")


def called(words: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line, as if it came first in its process."""
    discovery.PERMITTED.clear()
    discovery.spec.cache_clear()
    sys.modules.pop("own", None)  # another test may have had a module of that name
    importlib.invalidate_caches()
    sandbox.trusted_digests.clear()
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    if code == 130:
        raise KeyboardInterrupt
    return code, out.getvalue(), err.getvalue()


def done(words: list[str]) -> str:
    """The stdout of a command line that has to work."""
    code, out, err = called(words)
    assert code == 0, f"{shlex.join(words)}\n{err}"
    return out


def parents() -> None:
    """Make what all lines are drawn over, in the current folder."""
    import torch
    from safetensors.torch import load_file

    prepare()
    for line in FIRST:
        done([*shlex.split(line), "--quiet"])
    torch.save(load_file("mlp.safetensors"), "weights.pt")
    shutil.copy("pictures.h5", "-dashed.h5")


def typed(flag: str, value: str) -> list[str]:
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def value(one: Option, verb: str, draw: random.Random) -> str | None:
    """Any value of an option, of those that cost little; None where there is none."""
    if one.choices:
        return draw.choice(one.choices)
    low, high = one.param.low, one.param.high
    if one.type is int:
        least, most = LIMIT[verb] if one.name == "limit" else WHOLE.get(one.name, (one.default or 1, (one.default or 1) + 2))
        least = max(least, int(low or 0))
        return str(draw.randint(least, max(least, most)))
    if one.type is float:
        near = REAL.get(one.name, one.default or 0.5)
        found = (
            near * draw.choice((0.5, 0.9, 1.1)) if low is None or low >= 0 or draw.random() < 0.5 else low * draw.choice((0.5, 1))
        )
        return f"{min(max(found, low if low is not None else found), high if high is not None else found):.3g}"
    return draw.choice(TEXTS[one.name]) if one.name in TEXTS else None


def choice(verb: str, draw: random.Random) -> list[str]:
    """A verb and its methods, with what they cannot do without."""
    if verb == "import":
        weights = {"weights.pt": ["--arch", "mlp", "--hidden", "16"], "own.safetensors": ["--arch", "own:net"]}
        file = draw.choice((*weights, "pictures", "photos", "images.npz", "both.npz", "./mnist"))
        return [verb, file, *weights.get(file, [])]
    role = {"train": "recipe", "attack": "attack", "defend": "defense"}[verb]
    name = draw.choice([*discovery.names(role), *METHODS.get(role, ())])
    words, traits = [verb, "--recipe" if verb == "train" else "--method", name], discovery.spec(role, name).traits
    if verb == "train":
        small = [one for one in discovery.names("architecture") if one not in BIG]
        words += ["--arch", draw.choice((*small, *METHODS["architecture"]))] if draw.random() < 0.7 else []
        return [*words, "--teacher", draw.choice(TEACHERS)] if "teacher" in discovery.spec(role, name).given else words
    if verb == "defend" and traits.members:
        return [*words, "--member", draw.choice(TEXTS["member"])]
    filters = verb == "defend" and traits.filters and not (traits.learns or traits.rejects)
    return [*words, draw.choice(("pgd.h5", "pictures.h5"))] if filters and draw.random() < 0.4 else words


def line(draw: random.Random) -> list[str]:
    """A command line; most are valid."""
    verb = draw.choices(("attack", "train", "defend", "import"), (6, 2, 3, 1))[0]
    words = choice(verb, draw)
    known = [one for one, _ in typer_options.signature(verb, typer_options.chosen(verb, words))]
    for one in known:
        likely = 1.0 if one.name in ALWAYS else 0.02 if one.name in RARE else 0.15
        if one.flag in words or one.name in (*LEFT_OUT, *BY_HAND) or draw.random() > likely:
            continue
        if one.type is bool:
            words.append(one.flag.replace("--", "--no-", 1) if one.default else one.flag)
        elif (found := value(one, verb, draw)) is not None:
            words += typed(one.flag, found)
    if "photos" in words:
        words += ["--image-size", "8", "--resize", "9"] if verb != "defend" else []
    if {"own.safetensors", "blurred.safetensors"} & {*words} and verb != "import":
        words += ["--allow", "own:net", "--allow", "own:blur"]
    images = verb == "attack" or {"pgd.h5", "pictures.h5"} & {*words[:4]} or (verb == "import" and "--arch" not in words)
    named = draw.random() < 0.4 or verb == "train" or (verb == "import" and not images)  # a trained model is not replaced
    return words + typed("--output", f"{draw.choice(NAMES)}.{'h5' if images else 'safetensors'}") if named else words


def copied(given: Path, target: Path) -> Path:
    """What lines are drawn over, once more; folders of pictures, which nobody writes into, as links."""
    target.mkdir()
    for one in given.iterdir():
        if one.is_dir():
            Path(target, one.name).symlink_to(one)
        else:
            shutil.copy(one, target)
    return target


def files() -> dict[str, bytes]:
    """The files of ours in the current folder."""
    return {one.name: one.read_bytes() for one in Path().iterdir() if one.suffix in (".h5", ".safetensors")}


def replayed(words: list[str], given: Path, *, beside: bool) -> list[str] | None:
    """How the files that a line writes differ from those that `show` makes again; None where the line is refused.

    They are made again beside the same parents, or in a folder of its own that finds them in another.
    """
    with tempfile.TemporaryDirectory() as top:
        here, again = copied(given, Path(top, "here")), Path(top, "again")
        Path(top, "given").symlink_to(given)
        with chdir(here):
            before = files()
            code, _, err = called([*words, "--quiet"])
            if code in (2, 3):
                return None
            assert code == 0, f"{shlex.join(words)}\n{err}"
            made = {name: data for name, data in files().items() if data != before.get(name)}
            assert made, shlex.join(words)
            where = "." if beside else "../given"
            shown = {name: json.loads(done(["show", "--json", "--in", where, "--", name]))[0]["command"] for name in made}
        found = []
        for command in dict.fromkeys(shown.values()):
            copied(given, again) if beside else again.mkdir()
            shutil.copy(given / "own.py", again)
            with chdir(again):
                code, _, err = called([*shlex.split(command)[1:], "--quiet"])
                theirs = files()
            names = [name for name in made if shown[name] == command and theirs.get(name) != made[name]]
            found += (
                [f"{command}\n  {f'exit {code}' if code else 'other bytes'}: {', '.join(names)}\n  {err}".rstrip()]
                if code or names
                else []
            )
            shutil.rmtree(again)
        return found


def replays(count: int, seed: int, given: Path) -> Iterator[tuple[list[str], list[str]]]:
    """So many valid lines, and what is wrong with each."""
    draw, left = random.Random(seed), count
    while left:
        words = line(draw)
        found = replayed(words, given, beside=words[0] == "defend" or draw.random() < 0.7)
        if found is not None:
            left -= 1
            yield words, found


def main_() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args, begin, wrong = parser.parse_args(), time.monotonic(), 0
    verbs: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as given:
        with chdir(given):
            parents()
        for words, found in replays(args.count, args.seed, Path(given)):
            verbs[words[0]] += 1
            wrong += bool(found)
            print("\n".join([f"WRONG  {shlex.join(words)}", *found] if found else [f"equal  {shlex.join(words)}"]), flush=True)
    print(
        f"{args.count} lines ({', '.join(f'{n} {verb}' for verb, n in verbs.items())}) in {time.monotonic() - begin:.0f} s; {wrong} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main_())
