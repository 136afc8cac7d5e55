"""Mutated files against the readers: in forked, preloaded children with limits, and some as true commands.

    python tests/fuzz.py --count 500 --commands 50 [--format set]

A file may be read, or refused with our own error. Whatever crashes a reader, hangs it for 15 seconds or takes more than
1 GiB is opened again as the program opens it, in a child of its own, and must then be refused; these are counted apart.
Anything else is a finding, and is kept in the folder that is printed.
"""

import argparse
import collections
import faulthandler
import hashlib
import io
import mmap
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from advcli.cli.app import main
from advcli.datasets import npz, pt
from advcli.errors import AdvcliError
from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from advcli.images import decoder, labels_csv
from advcli.networks import foreign_weights, model_file, onnx_file
from damage import mend_model, mend_png, mend_set, mend_zip, mutated

SECONDS, MEMORY, BATCH = 15, 1 << 30, 50
OUTCOMES = ("read", "refused", "other error", "memory", "crash", "hang", "refused by a child")


@dataclass(frozen=True)
class Format:
    """Seeds to mutate, how a reader reads them, how a command does, and what is mended after a mutation."""

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    command: Callable[[Path], list[str]]
    program: Callable[[Path], object] = ImageSet
    mend: Callable[[bytes, bytes, random.Random], bytes] = lambda data, seed, draw: data


def set_seeds() -> list[bytes]:
    """Ours, and what other tools make: chunked, compressed, compact, with an older layout of the tables."""
    here = Path("seeds")
    here.mkdir(exist_ok=True)
    if not (here / "adversarial.h5").exists():
        os.chdir(here)
        assert main(["train", "--arch", "softmax", "--epochs", "1", "--limit", "100", "--quiet"]) == 0
        assert main(["attack", "--method", "fgsm", "--limit", "2", "--eps", "0.1,0.2", "--quiet"]) == 0
        assert main(["defend", "adversarial.h5", "--quiet"]) == 0
        os.chdir("..")
    return [(here / name).read_bytes() for name in ("adversarial.h5", "perturbations.h5", "adversarial.filtered.h5")]


def foreign_set_seeds() -> list[bytes]:
    set_seeds()
    found = []
    for how in (
        {"chunks": True},
        {"chunks": True, "compression": "gzip", "shuffle": True},
        {"chunks": True, "fletcher32": True, "maxshape": "none"},
        {},
    ):
        for libver in ("earliest", "v110", "latest"):
            with (
                h5py.File("seeds/adversarial.h5") as source,
                h5py.File("seeds/foreign.h5", "w", userblock_size=512, libver=libver) as target,
            ):
                target.attrs["format"] = np.bytes_(imageset_writer.MAGIC)
                for name in source:
                    options = {**how, "maxshape": (None,) * source[name].ndim} if "maxshape" in how else how
                    target.create_dataset(name, data=source[name][:], **options)
            data = Path("seeds/foreign.h5").read_bytes()
            found.append(imageset_writer.block(hashlib.sha256(data[512:]).hexdigest()) + data[512:])
    return found


def model_seeds() -> list[bytes]:
    set_seeds()
    return [Path("seeds/model.safetensors").read_bytes()]


def weight_seeds(zipped: bool) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        found = []
        for state in (
            {"1.weight": torch.rand(10, 64), "1.bias": torch.rand(10)},
            {"state_dict": {"module.1.weight": torch.rand(10, 64).half()}, "epoch": 3},
        ):
            data = io.BytesIO()
            torch.save(state, data, _use_new_zipfile_serialization=zipped)
            found.append(data.getvalue())
        return found

    return make


def npz_seeds() -> list[bytes]:
    found = []
    for save in (np.savez, np.savez_compressed):
        data = io.BytesIO()
        save(
            data,
            images=np.random.default_rng(0).random((6, 1, 8, 8), np.float32),
            labels=np.arange(6) % 3,
            classes=np.array(list("abc")),
            split="train",
        )
        found.append(data.getvalue())
    return found


def pt_seeds() -> list[bytes]:
    found, images, labels = [], torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    for content in (
        {"images": images, "labels": labels, "classes": list("abc"), "split": "train"},
        ((images * 255).byte(), labels),
    ):
        data = io.BytesIO()
        torch.save(content, data)
        found.append(data.getvalue())
    return found


def picture_seeds(kind: str) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        found, pixels = [], np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.uint8)
        for image in (
            Image.fromarray(pixels),
            Image.fromarray(pixels[..., 0]),
            Image.fromarray(pixels).convert("P" if kind == "PNG" else "CMYK"),
        ):
            for options in ({}, {"progressive": True} if kind == "JPEG" else {"optimize": True}):
                data = io.BytesIO()
                image.save(data, kind, **options)
                found.append(data.getvalue())
        return found

    return make


def csv_seeds() -> list[bytes]:
    rows = [f"{name}{k}.png" for name in "abc" for k in range(4)]
    found = ["".join(f"{row}{mark}{row[0]}\n" for row in rows) for mark in ",;\t"]
    found += ["file,label\n" + found[0], "file,label\n" + "".join(f'"./{row}","{row[0]}, {{""x""}}"\r\n' for row in rows)]
    found += ["\ufeffFilename|split|class\n" + "".join(f"{row}|{'train' if row[1] < '3' else 'test'}|{row[0]}\n" for row in rows)]
    return [one.encode() for one in found] + [found[3].encode("utf-16")]


def as_labels(path: Path) -> list[str]:
    for name in "abc":
        for k in range(4):
            Image.fromarray(np.full((8, 8), 20 * k, np.uint8)).save(f"{name}{k}.png")
    return ["train", "--data", str(path), "--epochs", "1", *IMPORT]


def graphs() -> list[bytes]:
    """Networks as ONNX: for any number of images with arithmetic on sizes, for one image, and a plain one."""
    import onnx_graphs as net  # onnx is an extra

    pooled = [
        net.node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1], name="first"),
        net.node("Clip", ["c", "zero"], ["r"]),
        net.node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    sized = [
        net.node("Shape", ["p"], ["s"]),
        net.node("Slice", ["s", "start", "end"], ["n"]),
        net.node("Concat", ["n", "rest"], ["t"], axis=0),
        net.node("Reshape", ["p", "t"], ["rows"]),
        net.node("Gemm", ["rows", "w"], ["l"]),
        net.node("Softmax", ["l"], ["y"]),
    ]
    kernel = np.random.default_rng(0).normal(size=(2, 1, 3, 3)).astype("f4")
    more = {"k": kernel, "zero": np.float32(0), "start": np.array([0]), "end": np.array([1]), "rest": np.array([-1])}
    one = [net.node("Pad", ["x", "around"], ["z"]), net.node("Reshape", ["z", "t"], ["rows"]), net.LINEAR[1]]
    around = np.array([0, 0, 0, 1, 0, 0, 0, 0])
    found = [
        net.graph([*pooled, *sized], **more, w=net.weights(8)),
        net.graph(one, dims=(1, *net.SHAPE), around=around, t=np.array([1, 20]), w=net.weights(20)),
        net.graph(),
    ]
    return [model.SerializeToString() for model in found]


def stored_graphs() -> list[bytes]:
    """The model files that these become."""
    found = []
    for number, data in enumerate(graphs()):
        Path(f"{number}.onnx").write_bytes(data)
        assert main(["import", f"{number}.onnx", "-o", f"{number}.safetensors", "--quiet"]) == 0
        found.append(Path(f"{number}.safetensors").read_bytes())
    return found


def read_graph(path: Path) -> None:
    onnx_file.understood(path, path.read_bytes(), None)


def read_stored(path: Path) -> None:
    model_file.try_graphs(model_file.checked(path, path.read_bytes()).module(), str(path))


def read_npz(path: Path) -> None:
    npz._checked(str(path), "train", list(npz._listed(str(path))))


def read_picture(path: Path) -> None:
    decoder.is_grey(str(path))
    decoder.load(str(path), "RGB", (None, None))


def as_picture(path: Path) -> list[str]:
    for kind in "ab":
        for k in range(3):
            target = Path("pictures/train", kind, f"{k}{path.suffix}")
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((24, 24, 3), 40 * k, np.uint8)).save(target)
    shutil.copytree("pictures/train", "pictures/test", dirs_exist_ok=True)
    shutil.copy(path, Path("pictures/train/a", f"bad{path.suffix}"))
    return ["train", "--data", "pictures", "--arch", "softmax", "--epochs", "1", "--force"]


def decoded(path: Path) -> None:
    decoder.decode([path], "RGB", (None, None), None)


IMPORT = ["--arch", "softmax", "--force"]
FORMATS = {one.name: one for one in (
    Format("set.h5", set_seeds, ImageSet.read_through, lambda path: ["verify", str(path)], ImageSet, mend_set),
    Format("foreign-set.h5", foreign_set_seeds, ImageSet.read_through,
           lambda path: ["stats", str(path), "--force", "--count", "0"], ImageSet, mend_set),
    Format("model.safetensors", model_seeds, lambda path: model_file.checked(path, path.read_bytes()).module(),
           lambda path: ["evaluate", "--model", str(path)], model_file.read, mend_model),
    Format("zip.pt", weight_seeds(True), foreign_weights._tensors, lambda path: ["import", str(path), *IMPORT], foreign_weights.state_dict, mend_zip),
    Format("legacy.pt", weight_seeds(False), foreign_weights._tensors, lambda path: ["import", str(path), *IMPORT], foreign_weights.state_dict),
    Format("archive.npz", npz_seeds, read_npz, lambda path: ["train", "--data", str(path), "--epochs", "1", *IMPORT],
           lambda path: npz.npz("train", path=str(path)), mend_zip),
    Format("images.pt", pt_seeds, lambda path: pt._checked(str(path), "train"),
           lambda path: ["train", "--data", str(path), "--epochs", "1", *IMPORT], lambda path: pt.pt("train", path=str(path)), mend_zip),
    Format("labels.csv", csv_seeds, labels_csv.checked, as_labels, labels_csv.read),
    Format("graph.onnx", graphs, read_graph, lambda path: ["import", str(path), "--force"], lambda path: onnx_file.read(path, None)),
    Format("graph.safetensors", stored_graphs, read_stored, lambda path: ["evaluate", "--model", str(path), "--data", "digits"],
           model_file.read, mend_model),
    Format("picture.png", picture_seeds("PNG"), read_picture, as_picture, decoded, mend_png),
    Format("picture.jpg", picture_seeds("JPEG"), read_picture, as_picture, decoded),
)}  # fmt: skip


def batch(form: Format, files: list[Path], best: mmap.mmap) -> None:
    """Read the files in a child; the board has the outcome of each, and last the one at work."""
    best[:] = bytes([255]) * len(best)
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2)
        torch.set_num_threads(1)
        for number, path in enumerate(files):
            signal.alarm(SECONDS)
            best[-1] = number
            try:
                form.read(path)
                best[number] = 0
            except AdvcliError:
                best[number] = 1
            except MemoryError:
                best[number] = 3
            except BaseException:
                best[number] = 2
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        best[best[-1]] = 5 if os.WTERMSIG(status) == signal.SIGALRM else 4


def contained(form: Format, path: Path) -> bool:
    """Whether the program refuses the file by itself, with no harm but to a child."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        try:
            form.program(path)
        except AdvcliError:
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def fuzz(form: Format, count: int, seed: int, keep: Path | None = None) -> collections.Counter:
    """Mutate and read `count` files; how many came out how."""
    seeds, draw, found = form.seeds(), random.Random(f"{form.name} {seed}"), collections.Counter()
    if form.name == "graph.onnx":
        onnx_file.warm()
    best, folder = mmap.mmap(-1, BATCH + 1), Path(tempfile.mkdtemp(dir="."))
    while (done := sum(found.values())) < count:
        files = []
        for number in range(min(BATCH, count - done)):
            base = draw.choice(seeds)
            path = folder / f"{number}-{form.name}"
            path.write_bytes(form.mend(mutated(base, draw), base, draw))
            files.append(path)
        while files:
            batch(form, files, best)
            ended = next((k for k in range(len(files)) if best[k] in (4, 5, 255)), len(files) - 1)
            for k in range(ended + 1):
                outcome = OUTCOMES[best[k]] if best[k] < 255 else "crash"
                outcome = "refused by a child" if best[k] > 2 and contained(form, files[k]) else outcome
                found[outcome] += 1
                if outcome in OUTCOMES[2:6] and keep is not None:
                    shutil.copy(files[k], keep / f"{outcome.replace(' ', '-')}-{done + k}-{form.name}")
            files = files[ended + 1 :]
    shutil.rmtree(folder)
    return found


def commands(form: Format, count: int, seed: int) -> collections.Counter:
    """The same as true processes: exit 0, 1 or 3, three lines at most, no traceback."""
    seeds, draw, found = form.seeds(), random.Random(f"{form.name} {seed} commands"), collections.Counter()
    for _ in range(count):
        base = draw.choice(seeds)
        path = Path(f"mutated-{form.name}")
        path.write_bytes(form.mend(mutated(base, draw), base, draw))
        ran = subprocess.run(
            [sys.executable, "-m", "advcli", *form.command(path)], capture_output=True, text=True, timeout=120, check=False
        )
        lines = [line for line in ran.stderr.splitlines() if line.startswith("advcli: ")]
        fine = ran.returncode in (0, 1, 3) and "Traceback" not in ran.stderr and len(lines) <= 3
        found[f"exit {ran.returncode}" if fine else "finding"] += 1
        if not fine:
            print(form.name, ran.returncode, ran.stderr, file=sys.stderr)
            shutil.copy(path, f"finding-{found['finding']}-{form.name}")
    return found


def everything(names: list[str], count: int, command_count: int, seed: int) -> int:
    """All formats, one line of figures each; returns the number of findings."""
    folder = Path(tempfile.mkdtemp(prefix="advcli-fuzz-"))
    os.chdir(folder)
    print(f"findings are kept in {folder}", file=sys.stderr)
    findings = 0
    for form in (FORMATS[name] for name in names):
        begin = time.perf_counter()
        found, ran = fuzz(form, count, seed, folder), commands(form, command_count, seed)
        findings += sum(found[one] for one in OUTCOMES[2:6]) + ran["finding"]
        told = ", ".join(f"{found[one]} {one}" for one in OUTCOMES if found[one])
        print(f"{form.name}: {told}; commands: {dict(ran)}; {time.perf_counter() - begin:.0f} s", flush=True)
    return findings


def side_by_side(names: list[str], more: list[str]) -> int:
    """Every format in a process of its own, as many at a time as there are processors."""
    waiting, running, worst = list(names), [], 0
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            running.append(subprocess.Popen([sys.executable, __file__, "--format", waiting.pop(0), *more]))
        worst = max(worst, running.pop(0).wait())
    return worst


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--commands", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", action="append", choices=list(FORMATS))
    given = parser.parse_args()
    chosen = given.format or list(FORMATS)
    if len(chosen) > 1:
        sys.exit(side_by_side(chosen, [f"--{name}={getattr(given, name)}" for name in ("count", "commands", "seed")]))
    sys.exit(1 if everything(chosen, given.count, given.commands, given.seed) else 0)
