"""Files that mean harm, or that somebody broke: made by a script, each with a command and what must come of it."""

import hashlib
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import safetensors.torch
import torch
from PIL import Image

from advcli.files import imageset_writer
from advcli.files.header import canonical
from advcli.networks import model_file

MADE = {"verb": "attack", "method": None, "data": None, "parameters": {}, "options": {}, "parents": [], "environment": {}}
HEADER = {"kind": "clean", "classes": ["a", "b"], "split": "test", "range": [0, 1], "made": MADE}


@dataclass(frozen=True)
class Case:
    """Make the file, run the command, expect the code and the words."""

    make: Callable[[], object]
    command: tuple[str, ...]
    words: str
    codes: tuple[int, ...] = (3,)


def resealed(path: Path) -> Path:
    """Give a changed image set a digest that fits."""
    data = path.read_bytes()
    path.write_bytes(imageset_writer.block(hashlib.sha256(data[512:]).hexdigest()) + data[512:])
    return path


def columns(count: int = 3) -> dict[str, np.ndarray]:
    images = np.random.default_rng(0).random((count, 1, 8, 8)).astype(np.float32)
    return {"images": images, "labels": np.arange(count) % 2, "index": np.arange(count)}


def image_set(change: Callable[[h5py.File], object], header: object = HEADER, libver: str = "v110") -> Path:
    """x.h5 as another tool would write it, changed."""
    path = Path("x.h5")
    with h5py.File(path, "w", userblock_size=512, libver=(libver, "v110")) as file:
        file.attrs["format"] = np.bytes_(imageset_writer.MAGIC)
        text = header if isinstance(header, bytes) else canonical(header)
        file["header"] = np.frombuffer(text, np.uint8)
        for name, values in columns().items():
            file[name] = values
        change(file)
    return resealed(path)


def instead(name: str, values: object = None, **how: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=values, **how)

    return change


def virtual(file: h5py.File) -> None:
    del file["index"]
    layout = h5py.VirtualLayout((3,), "<i8")
    layout[:] = h5py.VirtualSource(str(Path("fifo").resolve()), "index", (3,))
    file.create_virtual_dataset("index", layout)


def packed(file: h5py.File) -> None:
    """2 GB of zeros in two megabytes."""
    del file["images"]
    data = file.create_dataset("images", (512, 1, 1024, 1024), "<f4", chunks=(8, 1, 1024, 1024), compression="gzip")
    chunk = zlib.compress(bytes(8 << 22), 9)
    for start in range(0, 512, 8):
        data.id.write_direct_chunk((start, 0, 0, 0), chunk)


def model(change: Callable[[dict], object], tensors: Callable[[dict], dict] = dict) -> None:
    good = model_file.read("model.safetensors")
    metadata = json.loads(json.dumps(good.metadata))
    change(metadata)
    Path("x.safetensors").write_bytes(model_file.packed(metadata, tensors(good.tensors)))


def safe(head: bytes, body: bytes = b"", size: int | None = None) -> None:
    Path("x.safetensors").write_bytes(struct.pack("<Q", len(head) if size is None else size) + head + body)


def sparse(name: str, size: int, start: bytes = b"") -> None:
    with open(name, "wb") as file:
        file.write(start)
        file.truncate(size)


def weights(state: object, name: str = "x.pt", **how: object) -> None:
    torch.save(state, name, **how)


def deflated() -> None:
    data = io.BytesIO()
    torch.save({"w": torch.zeros(60_000_000)}, data)
    with zipfile.ZipFile(data) as source, zipfile.ZipFile("x.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for one in source.infolist():
            target.writestr(one.filename, source.read(one))


def legacy_flood() -> None:
    """Ten kilobytes that declare eight gigabytes."""
    data = io.BytesIO()
    torch.save({"w": torch.zeros(0x01000003)}, data, _use_new_zipfile_serialization=False)
    found = data.getvalue()
    assert found.count(b"J\x03\x00\x00\x01") >= 1
    Path("x.pt").write_bytes(found.replace(b"J\x03\x00\x00\x01", b"J\xff\xff\xff\x7f")[:10_000])


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


def archive(compress: bool = False, **arrays: object) -> None:
    (np.savez_compressed if compress else np.savez)("x.npz", **arrays)


def npz_member(name: str, content: bytes, declared: int | None = None) -> None:
    with zipfile.ZipFile("x.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    if declared is not None:
        data = Path("x.npz").read_bytes()
        Path("x.npz").write_bytes(data.replace(struct.pack("<I", len(content)), struct.pack("<I", declared)))


def npz_bomb() -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (400, 1, 1000, 1000)})
    with (
        zipfile.ZipFile("x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("images.npy", "w", force_zip64=True) as member,
    ):
        member.write(head.getvalue())
        for _ in range(400):
            member.write(bytes(1_000_000))


def onnx_graph(*nodes: list, **constants: list) -> None:
    """A good network with other nodes before it."""
    import onnx_graphs as net  # needs onnx, an extra

    arrays = {name: np.array(one) for name, one in constants.items()}
    net.saved(net.graph([*(net.node(*one) for one in nodes), *net.LINEAR], **arrays), "x.onnx")


def picture(data: bytes, name: str = "bad.png") -> None:
    """A folder of class folders with one bad picture."""
    for split, kind in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        folder = Path("pictures") / split / kind
        folder.mkdir(parents=True)
        for k in range(4):
            Image.fromarray(np.full((8, 8), 16 * k, np.uint8)).save(folder / f"{k}.png")
    Path("pictures/train/a", name).write_bytes(data)


def png(width: int, height: int, body: bytes = b"", kind: int = 0, extra: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def encoded(kind: str, **how: object) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(data, kind, **how)
    return data.getvalue()


def fifo(name: str) -> None:
    os.mkfifo(name)


def beside_fifo(make: Callable[[], object]) -> Callable[[], None]:
    """The canary: whoever opens it waits for ever."""

    def both() -> None:
        fifo("fifo")
        make()

    return both


SET, MODEL, NPZ = (
    ("evaluate", "x.h5"),
    ("evaluate", "--model", "x.safetensors"),
    ("train", "--data", "x.npz:train", "--epochs", "1"),
)
WEIGHTS = ("import", "x.pt", "--arch", "cnn")
ONNX = ("import", "x.onnx", "-o", "y.safetensors")
PICTURES = ("train", "--data", "pictures", "--arch", "softmax", "--epochs", "1", "-o", "y.safetensors")
IMAGES = columns()["images"]

BOMBS = {
    "set: a terabyte declared": Case(
        lambda: image_set(instead("labels", shape=(10**12,), dtype="<i8", chunks=(1024,))), SET, "declares"),
    "set: gzip": Case(lambda: image_set(packed), SET, "declares"),
    "set: chunks of 128 MiB": Case(
        lambda: image_set(instead("images", shape=(3, 1, 8, 1 << 22), dtype="<f4", chunks=(1, 1, 8, 1 << 22))), SET, "chunks|declares"),
    "set: deep JSON": Case(lambda: image_set(lambda f: None, b'{"a":' * 300_000), SET, "not JSON"),
    "set: header of 8 MiB": Case(lambda: image_set(lambda f: None, b" " * (1 << 23)), SET, "declares"),
    "set: ten gigabytes of holes": Case(lambda: sparse("x.h5", 10**10, b"sha256: "), SET, "sparse file"),
    "set: many links": Case(lambda: image_set(lambda f: [f.create_group(f"g{k}") for k in range(20_000)]), SET, "not a dataset"),
    "model: a header of exabytes": Case(lambda: safe(b"{}", size=1 << 60), MODEL, "not a safetensors"),
    "model: deep JSON": Case(lambda: safe(b'{"a":' * 300_000), MODEL, "not JSON"),
    "model: a tensor of terabytes": Case(
        lambda: safe(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]},"__metadata__":{"advcli":"{}"}}'),
        MODEL, "safetensors|metadata"),
    "model: holes": Case(lambda: sparse("x.safetensors", 10**10, struct.pack("<Q", 2) + b"{}"), MODEL, "sparse file"),
    "model: a layer of 65,536": Case(
        lambda: model(lambda r: r["arch"].update(name="mlp", parameters={"hidden": "65536,65536,65536"})), MODEL,
        "memory|do not fit|fit"),
    "weights: deflated records": Case(deflated, WEIGHTS, "compressed"),
    "weights: stride 0": Case(lambda: weights({"w": torch.zeros(1).expand(10**12)}), WEIGHTS, "declares"),
    "weights: one storage a thousand times": Case(
        lambda: weights((lambda one: {f"w{k}": one for k in range(1000)})(torch.zeros(5_000_000))), WEIGHTS, "declares"),
    "weights: legacy": Case(legacy_flood, WEIGHTS, "memory|damaged"),
    "weights: deep lists": Case(lambda: weights({"state_dict": nested(400)}), WEIGHTS, "no state_dict|damaged"),
    "weights: holes": Case(lambda: sparse("x.pt", 10**10, b"PK\x03\x04"), WEIGHTS, "sparse file"),
    "onnx: a constant of terabytes": Case(
        lambda: onnx_graph(["ConstantOfShape", ["s"], ["c"]], s=[1 << 20, 1 << 20]), ONNX, "makes a constant of 1099511627776"),
    "graph: a value of gigabytes": Case(
        lambda: onnx_graph(["Tile", ["x", "s"], ["c"]], s=[1, 1, 20_000, 20_000]), ONNX, "Tile makes 70400000000 numbers"),
    "graph: weights of holes": Case(lambda: sparse("x.onnx", 10**10, b"\x08\x0a"), ONNX, "sparse file"),
    "npz: deflated": Case(npz_bomb, NPZ, "declares"),
    "npz: a shape of terabytes": Case(
        lambda: npz_member("images.npy", b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 3, 1000, 1000), }".ljust(117) + b"\n"),
        NPZ, "memory|damaged"),
    "npz: deep header": Case(
        lambda: npz_member("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 8999 + b"\n"), NPZ, "damaged"),
    "picture: 60000 x 60000": Case(lambda: picture(png(60_000, 60_000)), PICTURES, "bad.png.*pixels"),
    "picture: text of a gigabyte": Case(
        lambda: picture(png(8, 8, bytes(72), extra=(lambda z: struct.pack(">I", len(z)) + b"zTXt" + z + struct.pack(
            ">I", zlib.crc32(b"zTXt" + z)))(b"a\0\0" + zlib.compress(bytes(1 << 28), 1)))), PICTURES, "bad.png"),
}  # fmt: skip

BROKEN = {
    "set: virtual": Case(beside_fifo(lambda: image_set(virtual)), SET, "virtual"),
    "set: external storage": Case(
        beside_fifo(lambda: image_set(instead("index", shape=(3,), dtype="<i8", external=[("fifo", 0, 24)]))), SET, "external"),
    "set: external link": Case(
        beside_fifo(lambda: image_set(lambda f: f.__setitem__("target", h5py.ExternalLink("fifo", "/x")))), SET, "in the file itself"),
    "set: external link for the images": Case(
        beside_fifo(lambda: image_set(lambda f: [f.__delitem__("images"), f.__setitem__("images", h5py.ExternalLink("fifo", "/x"))])),
        SET, "in the file itself"),
    "set: soft link": Case(lambda: image_set(lambda f: f.__setitem__("target", h5py.SoftLink("/labels"))), SET, "in the file itself"),
    "set: references": Case(
        lambda: image_set(lambda f: [f.__delitem__("labels"), f.create_dataset("labels", (3,), h5py.ref_dtype)]), SET, "type"),
    "set: strings of any length": Case(
        lambda: image_set(lambda f: [f.__delitem__("labels"), f.create_dataset("labels", (3,), h5py.string_dtype())]), SET, "type"),
    "set: a format of any length": Case(lambda: image_set(lambda f: f.attrs.create("format", "advcli/images/1")), SET, "format"),
    "set: no format": Case(lambda: image_set(lambda f: f.attrs.__delitem__("format")), SET, "format"),
    "set: unknown filter": Case(
        lambda: image_set(instead("labels", np.arange(3) % 2, chunks=(3,), scaleoffset=0)), SET, "filter"),
    "set: a filter that could be left out": Case(
        lambda: image_set(instead("labels", np.arange(3) % 2, chunks=(3,), compression="lzf")), SET, "filter"),
    "set: a group for the labels": Case(lambda: image_set(lambda f: [f.__delitem__("labels"), f.create_group("labels")]), SET, "labels"),
    "set: four corners": Case(lambda: image_set(instead("images", np.zeros((3, 8, 8), np.float32))), SET, "N, C, H, W"),
    "set: float64": Case(lambda: image_set(instead("images", np.zeros((3, 1, 8, 8)))), SET, "float32"),
    "set: not a number": Case(lambda: image_set(instead("images", np.full((3, 1, 8, 8), np.nan, np.float32))), SET, "images, row 0"),
    "set: 0 to 255": Case(lambda: image_set(instead("images", 255 * IMAGES)), SET, "images, row 0.*divide by 255"),
    "set: label -100": Case(lambda: image_set(instead("labels", np.array([0, 1, -100]))), SET, "labels, row 2.*-100 is torch's"),
    "set: label too large": Case(lambda: image_set(instead("labels", np.array([0, 2, 0]))), SET, "labels, row 1"),
    "set: no rows": Case(
        lambda: imageset_writer.write_rows(Path("x.h5"), {**HEADER, "classes": list("0123456789")}, columns(0)), SET, "no rows"),
    "set: strange classes": Case(lambda: imageset_writer.write_rows(Path("x.h5"), HEADER, columns()), SET, "classes a, b"),
    "set: a test set for training": Case(
        lambda: imageset_writer.write_rows(Path("x.h5"), HEADER, columns()), ("train", "--data", "x.h5"), "test split"),
    "set: a picture twice": Case(
        lambda: imageset_writer.write_rows(Path("x.h5"), {**HEADER, "split": "train"}, {**columns(), "images": IMAGES[[0, 1, 0]]}),
        ("train", "--data", "x.h5"), "row 2: the same image as row 0"),
    "set: a FIFO": Case(lambda: fifo("x.h5"), SET, "not a regular file"),
    "set: a device": Case(lambda: os.symlink("/dev/zero", "x.h5"), SET, "not a regular file"),
    "set: a folder": Case(lambda: Path("x.h5").mkdir(), SET, "is a folder"),
    "set: a loop": Case(lambda: os.symlink("x.h5", "x.h5"), SET, "x.h5"),
    "model: a FIFO": Case(lambda: fifo("x.safetensors"), MODEL, "not a regular file"),
    "model: a device": Case(lambda: os.symlink("/dev/urandom", "x.safetensors"), MODEL, "not a regular file"),
    "model: empty": Case(lambda: Path("x.safetensors").write_bytes(b""), MODEL, "x.safetensors"),
    "model: overlapping tensors": Case(
        lambda: safe(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        MODEL, "metadata|safetensors"),
    "model: metadata that is no JSON": Case(
        lambda: Path("x.safetensors").write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, metadata={"advcli": "{"})), MODEL, "JSON"),
    "model: broken text": Case(
        lambda: Path("x.safetensors").write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, metadata={"advcli": '{"a":"\\ud800"}'})),
        MODEL, "broken text"),
    "model: weights of another shape": Case(
        lambda: model(lambda r: None, lambda t: {n: v[:1] for n, v in t.items()}), MODEL, "expected"),
    "model: not a number": Case(
        lambda: model(lambda r: None, lambda t: {n: v * torch.nan for n, v in t.items()}), MODEL, "not finite"),
    "model: code": Case(lambda: model(lambda r: r["arch"].update(name="wicked:g")), MODEL, "--allow"),
    "model: of the future": Case(lambda: model(lambda r: r.update(format="advcli/model/9")), MODEL, "format"),
    "model: weights alone": Case(
        lambda: Path("x.safetensors").write_bytes(safetensors.torch.save({"a": torch.zeros(1)})), MODEL, "import"),
    "weights: a FIFO": Case(lambda: fifo("x.pt"), WEIGHTS, "not a regular file"),
    "weights: numbers for names": Case(lambda: weights({0: torch.zeros(1)}), WEIGHTS, "names"),
    "weights: no tensors": Case(lambda: weights({"epoch": 3}), WEIGHTS, "no state_dict"),
    "weights: empty": Case(lambda: weights({}), WEIGHTS, "no state_dict"),
    "weights: sparse tensors": Case(lambda: weights({"w": torch.zeros(3, 3).to_sparse()}), WEIGHTS, "sparse"),
    "weights: not a number": Case(lambda: weights({"w": torch.full((2,), torch.nan)}), WEIGHTS, "not finite"),
    "weights: half a file": Case(
        lambda: [weights({"w": torch.zeros(999)}), Path("x.pt").write_bytes(Path("x.pt").read_bytes()[:2000])], WEIGHTS, "damaged"),
    "weights: no pickle at all": Case(lambda: Path("x.pt").write_bytes(b"hello"), WEIGHTS, "damaged"),
    "npz: objects": Case(lambda: archive(images=np.array([{}], object)), NPZ, "plain arrays"),
    "npz: 0 to 255": Case(lambda: archive(images=255 * IMAGES, labels=[0, 1, 0]), NPZ, "images, row 0.*divide by 255"),
    "npz: not a number": Case(lambda: archive(x=IMAGES * np.nan, y=[0, 1, 0]), NPZ, "x, row 0"),
    "npz: label -100": Case(lambda: archive(x=IMAGES, y=[0, -100, 0]), NPZ, "y, row 1.*-100 is torch's"),
    "npz: labels with a point": Case(lambda: archive(x=IMAGES, y=[0.0, 1, 0]), NPZ, "whole numbers"),
    "npz: too few labels": Case(lambda: archive(x=IMAGES, y=[0, 1]), NPZ, "3 whole numbers"),
    "npz: channels last": Case(lambda: archive(x=np.zeros((3, 8, 8, 3)), y=[0, 1, 0]), NPZ, "channels last.*transpose"),
    "npz: whole numbers": Case(lambda: archive(x=np.zeros((3, 1, 8, 8), int), y=[0, 1, 0]), NPZ, "uint8"),
    "npz: no images": Case(lambda: archive(z=[1]), NPZ, "no images"),
    "npz: no rows": Case(lambda: archive(x=IMAGES[:0], y=np.zeros(0, int)), NPZ, "no image|no label"),
    "npz: a picture twice": Case(lambda: archive(x=IMAGES[[0, 1, 1]], y=[0, 1, 1]), NPZ, "row 2: the same image as row 1"),
    "npz: another split": Case(lambda: archive(x=IMAGES, y=[0, 1, 0], split="test"), NPZ, "test split"),
    "npz: a class twice": Case(lambda: archive(x=IMAGES, y=[0, 1, 0], classes=["a", "a"]), NPZ, "twice"),
    "npz: a class that leads away": Case(lambda: archive(x=IMAGES, y=[0, 1, 0], classes=["..", "a"]), NPZ, "class name"),
    "npz: a FIFO": Case(lambda: fifo("x.npz"), NPZ, "not a regular file"),
    "npz: no archive": Case(lambda: Path("x.npz").write_bytes(b"PK\x03\x04hello"), NPZ, "damaged"),
    "npz: a lie about its size": Case(lambda: npz_member("images.npy", bytes(1000), 4000), NPZ, "damaged"),
    "picture: none": Case(lambda: picture(b"hello"), PICTURES, "bad.png: not a readable"),
    "picture: half a JPEG": Case(lambda: picture(encoded("JPEG")[:700], "bad.jpg"), PICTURES, "bad.jpg"),
    "picture: half a PNG": Case(lambda: picture(encoded("PNG")[:700]), PICTURES, "bad.png"),
    "picture: PostScript": Case(
        lambda: picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(sprung) (w) file\n%%EOF\n"), PICTURES, "bad.png"),
    "picture: a FIFO": Case(lambda: [picture(b"", "z.png"), Path("pictures/train/a/z.png").unlink(), fifo("pictures/train/a/z.png")],
                            PICTURES, "not a regular file"),
    "picture: 16 bits": Case(
        lambda: [picture(b""), Image.fromarray(np.zeros((8, 8), np.uint16)).save("pictures/train/a/bad.png")], PICTURES, "8 bits"),
    "picture: another size": Case(lambda: picture(encoded("PNG")), PICTURES, "give --image-size"),
    "folder: an empty class": Case(lambda: [picture(encoded("PNG")), Path("pictures/train/c").mkdir()], PICTURES, "c: no image files"),
    "folder: no classes": Case(lambda: Path("pictures").mkdir(), PICTURES, "no class folders"),
}  # fmt: skip
