"""Whether two states of the code give the same bytes: every verb and every method, on the embedded digits.

    python tests/same_bytes.py record before.json [--only SUBSTRING]
    python tests/same_bytes.py compare before.json after.json

`record` runs command lines through `main(argv)`, one thread, each case in a fresh copy of one folder, and keeps of each
the exit code, stdout, stderr, every new or changed file (a digest of the whole, one of every part, and what `show` says
of it). Methods, their choices and their options come from `methods --json`: a new one joins by itself. `compare` names
the command lines that differ, and how. It imports nothing of advcli but `main`, so that both states may be of any shape.

Left out, for they change from run to run: seconds (in logs, `--dry-run` and progress), where a Python warning comes from, and
the traceback of `--debug`. Not run: what downloads, GPUs, resuming after a kill, and methods of one's own.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from command_lines import FIRST, cases

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100", "NO_COLOR": "1"}
SECONDS = re.compile(r"\b\d[\d.,]*(e-?\d+)?(?= ?(s|seconds)\b)|\b\d[\d.,]*(?=/s\b)")
Document = dict[str, Any]


def without_seconds(found: Any) -> Any:
    """A JSON document without the key `seconds`, at any depth."""
    if isinstance(found, dict):
        return {name: without_seconds(value) for name, value in found.items() if name != "seconds"}
    return [without_seconds(one) for one in found] if isinstance(found, list) else found


def steady(text: str) -> str:
    """A text without what changes from run to run; a line of JSON keeps its bytes where it tells no seconds."""

    def line(one: str) -> str:
        if not one.startswith(("{", "[")):
            return SECONDS.sub("N", one)
        try:
            kept = without_seconds(found := json.loads(one))
        except json.JSONDecodeError:
            return one
        return one if kept == found else json.dumps(kept)

    return "\n".join(line(one) for one in text.split("\n"))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def parts_of(path: Path) -> dict[str, str]:
    """A digest of every dataset of an image set, or of every tensor of a model; headers are kept by `show`."""
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            return {
                name: digest(f"{one.dtype} {one.shape}".encode() + one[()].tobytes())
                for name, one in file.items()
                if name != "header"
            }
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {name: one for name, one in json.loads(data[8:start]).items() if name != "__metadata__"}
    return {
        name: digest(f"{one['dtype']} {one['shape']}".encode() + data[start:][slice(*one["data_offsets"])])
        for name, one in tensors.items()
    }


def files_here() -> dict[str, str]:
    """Every file below this folder by its digest."""
    found = {}
    for path in sorted(one for one in Path().rglob("*") if one.is_file()):
        data = path.read_bytes()
        found[str(path)] = digest(steady(data.decode()).encode() if path.name.endswith(".log.jsonl") else data)
    return found


def called(line: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    from advcli.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *_: print(f"{category.__name__}: {message}", file=sys.stderr)
        code = main(shlex.split(line))
    if code == 130:
        raise KeyboardInterrupt
    return code, out.getvalue(), err.getvalue()


def recorded(line: str) -> Document:
    """What one command line did, here."""
    before = files_here()
    code, out, err = called(line)
    after = files_here()
    changed = {name: one for name, one in after.items() if one != before.get(name)}
    files: Document = {name: {"sha256": one} for name, one in changed.items()}
    for name in changed:
        if name.endswith((".h5", ".safetensors")):
            _, told, failed = called(f"show {shlex.quote(name)} --json")
            shown = json.loads(told)[0] if told else {"failed": failed}
            files[name] |= {"parts": parts_of(Path(name)), "show": {key: one for key, one in shown.items() if key != "digest"}}
    gone = sorted({*before} - {*after})
    return {"exit": code, "stdout": steady(out), "stderr": steady(err), "files": files, "gone": gone}


def prepare(given: Path) -> None:
    """Pictures in class folders, an archive and (once there is a model) foreign weights and damaged files."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures, labels = (found.images * 15.9375).astype(np.uint8), found.target
    for row, (pixels, label) in enumerate(zip(pictures[:150], labels, strict=False)):
        picture = Image.fromarray(pixels)
        for folder in ("pictures", "split/train" if row < 100 else "split/test", "large"):
            where = given / folder / str(label)
            where.mkdir(parents=True, exist_ok=True)
            (picture.resize((28, 28)) if folder == "large" else picture).save(where / f"{row:03d}.png")
    some, more = slice(150, 250), slice(250, 280)
    np.savez(given / "images.npz", x_train=pictures[some], y_train=labels[some], x_test=pictures[more], y_test=labels[more])


def prepare_more(given: Path) -> None:
    """Foreign weights and damaged files, of what the first lines made."""
    import torch
    from safetensors.torch import load_file

    torch.save(
        {"state_dict": {f"module.{name}": one for name, one in load_file("mlp.safetensors").items()}}, given / "weights.pt"
    )
    for name, damaged in (("adversarial.h5", "damaged.h5"), ("model.safetensors", "damaged.safetensors")):
        data = bytearray(Path(name).read_bytes())
        data[-99] ^= 1
        (given / damaged).write_bytes(data)


def record(only: str) -> dict[str, Document]:
    """Every command line, by its text and those before it in its folder; of `FIRST` always all are run."""
    os.environ.update(ENVIRONMENT)
    found: dict[str, Document] = {}
    with tempfile.TemporaryDirectory() as top, chdir(top):
        for name in ("given", "first", "data"):
            Path(name).mkdir()
        os.environ["ADVCLI_DATA"] = "../data"  # of the folder that a case stands in
        prepare(Path("given"))
        with chdir("first"):
            for line in FIRST:
                found[line] = recorded(line)
            prepare_more(Path("../given"))
        methods = json.loads(called("methods --json")[1])
        for case in dict.fromkeys(" ".join(one.split()) for one in cases(methods)):
            if only in case:
                shutil.copytree("first", "case")
                with chdir("case"):
                    done: list[str] = []
                    for line in case.split(" ; "):
                        done.append(line)
                        found[" ; ".join(done)] = recorded(line)
                shutil.rmtree("case")
    return {line: one for line, one in found.items() if only in line}


def flat(found: Any, at: str = "") -> dict[str, Any]:
    """The leaves of a document by their paths."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return {k: v for name, one in pairs for k, v in flat(one, f"{at}.{name}".strip(".")).items()} if pairs else {at: found}


def differing(a: Document, b: Document) -> list[str]:
    """The keys of two documents whose values differ or that only one has."""
    return [key for key in dict.fromkeys([*a, *b]) if key not in a or key not in b or a[key] != b[key]]


def differing_file(name: str, a: Document, b: Document) -> list[str]:
    """How one file differs: which of its parts, and which keys of its header."""
    parts = differing(a.get("parts", {}), b.get("parts", {}))
    before, after = flat(a.get("show", {})), flat(b.get("show", {}))
    keys = differing(before, after)
    if not parts and not keys:
        return [f"{name}: other bytes"] if a["sha256"] != b["sha256"] else []
    only = "only the header" if a["sha256"] != b["sha256"] else "the same bytes, but `show` tells it differently"
    told = [f"    {key}: {before.get(key)!r} -> {after.get(key)!r}" for key in keys]
    return [f"{name}: other {', '.join(parts)}" if parts else f"{name}: {only}", *told]


def differences(a: Document, b: Document) -> list[str]:
    """How two records of one command line differ; empty where they are equal."""
    found = [f"{key}: {a[key]} -> {b[key]}" for key in ("exit", "gone") if a[key] != b[key]]
    for stream in ("stdout", "stderr"):
        before, after = a[stream].split("\n"), b[stream].split("\n")
        if before != after:
            ours = [one for one in before if one not in after] or ["(the same lines, in another order or number)"]
            theirs = [one for one in after if one not in before] or ["(the same lines, in another order or number)"]
            found += [f"{stream}:", f"    - {ours[0]}", f"    + {theirs[0]}"]
    for name in dict.fromkeys([*a["files"], *b["files"]]):
        if name in a["files"] and name in b["files"]:
            found += differing_file(name, a["files"][name], b["files"][name])
        else:
            found.append(f"{name}: only in the {'first' if name in a['files'] else 'second'}")
    return found


def compare(a: dict[str, Document], b: dict[str, Document]) -> list[str]:
    """Every command line that differs, and how."""
    found = []
    for line in dict.fromkeys([*a, *b]):
        both = line in a and line in b
        how = differences(a[line], b[line]) if both else [f"only in the {'first' if line in a else 'second'}"]
        found += ["\n  ".join([line, *how])] if how else []
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recorder = verbs.add_parser("record")
    recorder.add_argument("out", type=Path)
    recorder.add_argument("--only", default="", help="Only cases whose text holds this.")
    comparer = verbs.add_parser("compare")
    comparer.add_argument("before", type=Path)
    comparer.add_argument("after", type=Path)
    args = parser.parse_args()
    if args.verb == "record":
        found = record(args.only)
        args.out.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
        import advcli

        exits = ", ".join(f"{n} ended with {code}" for code, n in sorted(Counter(one["exit"] for one in found.values()).items()))
        print(
            f"{len(found)} command lines of {Path(advcli.__file__).parent} in {time.process_time():.0f} s of processor time: {exits}",
            file=sys.stderr,
        )
        return 0
    before, after = (json.loads(one.read_text(encoding="utf-8")) for one in (args.before, args.after))
    found = compare(before, after)
    print("\n".join([*found, f"{len(found)} of {len({*before, *after})} command lines differ"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
