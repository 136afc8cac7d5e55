"""A local folder of a Hugging Face image classifier: config.json, model.safetensors and preprocessor_config.json.

Weights are read from safetensors only. The preprocessor states what the network sees: x = (255 f p - mean) / std for pixels p in
[0, 1] and its factor f, which here is (p - mean / 255 f) / (std / 255 f). EfficientNet's divides by std twice (`include_top`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.errors import InputError
from advcli.files import header_schema, sandbox
from advcli.files.header import Header, parse
from advcli.networks import hugging_face_models

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
MOST = 1 << 24  # bytes of a JSON file
PICKLES = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "pytorch_model.bin.index.json")
CHANGED = {
    "do_flip_channel_order": "takes the channels in BGR",
    "rescale_offset": "moves pixels to [-1, 1] before it normalises",
    "do_grayscale": "makes images grey",
    "do_color_quantize": "replaces colours by clusters",
}
LARGEST = 65536


@dataclass(frozen=True, slots=True)
class Folder:
    """The content of a folder, without its weights."""

    path: Path
    kind: str
    config: str
    classes: list[str]  # empty if it names none that can be used
    count: int
    shape: tuple[int, int, int] | None  # as the preprocessor makes images
    resize: int | None  # the shorter side before the centre is cut out
    normalize: dict[str, list[float]]

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS


def is_folder(path: Path) -> bool:
    """True for a folder with such a file, and for the weights in one."""
    inside = any((path / one).is_file() for one in (CONFIG, WEIGHTS, PREPROCESSOR, *PICKLES))
    return inside or (path.name == WEIGHTS and (path.parent / CONFIG).is_file())


def read(path: Path) -> Folder:
    """Read and check the texts of a folder; the line of an error says what is missing and what to do."""
    path = path if path.is_dir() else path.parent
    config = _json(path / CONFIG)
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise InputError(f"{path / CONFIG}: has no model_type; expected the folder of an image classifier of transformers")
    if kind == "timm_wrapper":
        name = config.get("architecture", "NAME")
        raise InputError(f"{path}: a network of timm: advcli import {path / WEIGHTS} --arch timm:{name}")
    _check_weights(path)
    names = _labels(config, path)
    channels = config.get("num_channels", 3)
    if not isinstance(channels, int) or not 0 < channels <= LARGEST:
        raise InputError(f"{path / CONFIG}: its num_channels is no number of channels")
    shape, resize, normalize = _preprocessing(path, channels)
    plain = hugging_face_models.plain(config, str(path / CONFIG))
    usable = [] if header_schema.wrong_classes(names) or all(one.startswith("LABEL_") for one in names) else names
    return Folder(path, kind, plain, usable, len(names), shape, resize, normalize)


def _check_weights(path: Path) -> None:
    """Refuse a folder without weights in one safetensors file, with what to do."""
    if (path / WEIGHTS).is_file():
        return
    save = f"AutoModelForImageClassification.from_pretrained({str(path)!r}).save_pretrained('NEW'"
    if (path / f"{WEIGHTS}.index.json").is_file():
        raise InputError(f"{path}: its weights are in several files; save them in one: {save}, max_shard_size='100GB')")
    if found := next((one for one in PICKLES if (path / one).is_file()), None):
        raise InputError(f"{path}: holds {found}, which may run code when loaded; where you trust it, save it anew: {save})")
    raise InputError(f"{path}: has no {WEIGHTS}; expected the folder of an image classifier, as save_pretrained writes it")


def _json(path: Path) -> Header:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected the folder of an image classifier, as save_pretrained writes it")
    return parse(sandbox.read(path, MOST), str(path))


def _labels(config: Header, path: Path) -> list[str]:
    """The names of the classes in their order."""
    found = config.get("id2label")
    if found is None:
        count = config.get("num_labels", 2)
        found = {str(k): f"LABEL_{k}" for k in range(count if isinstance(count, int) and 1 < count <= 100_000 else 0)}
    whole = isinstance(found, dict) and len(found) > 1 and all(str(k) in found for k in range(len(found)))
    if not whole or not all(isinstance(one, str) for one in found.values()):
        raise InputError(f"{path / CONFIG}: its id2label does not name classes 0, 1, ...; expected two or more")
    return [found[str(k)] for k in range(len(found))]


def _preprocessing(path: Path, channels: int) -> tuple[tuple[int, int, int] | None, int | None, dict[str, list[float]]]:
    """The shape of images, the side to which they are resized first, and the normalisation; nothing without the file."""
    where = path / PREPROCESSOR
    if not where.exists():
        return None, None, {}
    found = _json(where)
    if odd := next((words for key, words in CHANGED.items() if found.get(key)), None):
        raise InputError(f"{where}: {odd}, which advcli does not do: swap or fold it into the first layer's weights")
    factor = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1.0
    scale = 255 * _number(factor, where, "rescale_factor")
    own = bool(found.get("do_normalize", True))
    mean, std = (_channels(found.get(f"image_{one}", plain) if own else plain, channels, where) for one, plain in PLAIN)
    if min(std) <= 0 or scale <= 0:
        raise InputError(f"{where}: its image_std and rescale_factor must be above 0")
    twice = found.get("include_top", str(found.get("image_processor_type")).startswith("EfficientNet"))
    normalize = {"mean": [one / scale for one in mean], "std": [one * (one if twice else 1) / scale for one in std]}
    size = _size(found.get("size"), where) if found.get("do_resize", True) else None
    cut = _size(found.get("crop_size"), where) if found.get("do_center_crop") else None
    last = cut or size
    shape = None if last is None else (channels, *last)
    resize = min(size) if cut and size else None
    if resize and str(found.get("image_processor_type")).startswith("Levit"):  # it leaves the border of 256 pixels around 224
        resize = int(256 / 224 * resize)
    share = found.get("crop_pct")
    if size and share and (cut or size[0] < 384):  # ConvNeXT resizes larger images without a crop
        resize = int(size[0] / _number(share, where, "crop_pct"))
    return shape, resize, normalize


PLAIN = (("mean", 0.0), ("std", 1.0))


def _channels(found: Any, channels: int, where: Path) -> list[float]:
    """One number for each channel."""
    each = found if isinstance(found, list) else [found]
    values = [_number(one, where, "normalisation") for one in each]
    if len(values) not in (1, channels):
        raise InputError(f"{where}: normalises {len(values)} channels; the network takes {channels}")
    return values * channels if len(values) == 1 else values


def _number(found: Any, where: Path, what: str) -> float:
    if not isinstance(found, int | float) or isinstance(found, bool) or not -LARGEST < found < LARGEST:
        raise InputError(f"{where}: its {what} is no number")
    return float(found)


def _size(found: Any, where: Path) -> tuple[int, int] | None:
    """Height and width: of a number, a pair by name, or the shorter side."""
    if isinstance(found, dict):
        pair = [found.get("height"), found.get("width")] if "height" in found else [found.get("shortest_edge")] * 2
    else:
        pair = [found, found]
    if pair == [None, None]:
        return None
    height, width = pair
    if not isinstance(height, int) or not isinstance(width, int) or not 0 < min(height, width) <= max(height, width) <= LARGEST:
        raise InputError(f"{where}: its size of images is no number of pixels")
    return height, width
