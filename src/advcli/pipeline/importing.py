"""`import`: foreign weights become a model file. Nothing in them is executed."""

from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from torch import Tensor

from advcli import catalog, modelfile, schema, stack, storage
from advcli.errors import CommandError, InputError
from advcli.header import Header, digest
from advcli.numbers import fraction
from advcli.parameters import Force, Output, Param
from advcli.pipeline import inputs, outputs
from advcli.talk import SILENT, Talk

MOST_CLASSES = 100_000
KEYS = ("state_dict", "model_state_dict", "model", "net", "ema")
PREFIXES = ("module.", "_orig_mod.", "model.")


def importing(
    file: Annotated[str, Param("A state_dict: .pt, .pth or .safetensors.", form="FILE")],
    *,
    arch: Annotated[str | None, Param("The architecture that the weights belong to.", form="NAME")] = None,
    input: Annotated[str, Param("Channels, height and width of its images.", form="CxHxW")] = "1x8x8",
    classes: Annotated[str | None, Param("Names of the classes, in the order of the outputs.", form="NAME,...")] = None,
    mean: Annotated[str | None, Param("Mean of each channel that the network was trained with.", form="X,...")] = None,
    std: Annotated[str | None, Param("Standard deviation of each channel.", form="X,...")] = None,
    data: Annotated[str | None, Param("The data set that it was trained on, for its classes' names.", form="DATA")] = None,
    output: Output = None,
    force: Force = False,
    talk: Talk = SILENT,
    **options: object,
) -> Path:
    """Turn foreign weights into a model file.

    Takes a state_dict; the result is model.safetensors. Nothing in the file is executed.
    """
    given = inputs.checked("import", {k: v for k, v in locals().items() if k not in ("options", "talk")})
    if arch is None:
        raise CommandError(f"--arch: name the architecture; there are {', '.join(catalog.names('architecture'))}")
    shape = _shape(given["input"])
    tensors = state_dict(Path(file))
    bound = catalog.spec("architecture", arch).bind(options)
    recipe: Header = {
        "format": "advcli/model/1",
        "arch": {"name": arch, "parameters": bound.parameters},
        "input": list(shape),
        "normalize": {"mean": _channels(mean, shape[0], 0.0, "mean"), "std": _channels(std, shape[0], 1.0, "std")},
        "defenses": [],
        "figures": {},
        "data": inputs.open_data(data.removesuffix(":test"), "train").origin if data else None,
    }
    names = _classes(given["classes"], given["data"], recipe, tensors, talk)
    recipe["classes"] = names
    try:
        schema.classes(names, "--classes")
    except InputError as error:
        raise CommandError(str(error).partition("; the file")[0]) from None
    stack.load_weights(stack.build(recipe, []), tensors, file)
    path = outputs.target(output, inputs.MODEL)
    recipe["made"] = outputs.made(
        "import",
        method=None,
        parameters=bound.parameters,
        options={k: given[k] for k in ("arch", "input", "classes", "mean", "std", "data")},
        parents=[{"role": "file", "digest": digest(Path(file).read_bytes())}],
        data=None,
        environment={},
    )
    with storage.locked(path):
        if not outputs.finished(path, recipe["made"], default_name=output is None, force=force, talk=talk):
            modelfile.write(path, recipe, tensors)
    return path


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a foreign file, under whatever key and prefix they lie."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            found: Any = safetensors.torch.load(path.read_bytes())
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or refused file; all mean the same here
        raise InputError(
            f"{path}: not a plain state_dict ({type(error).__name__}); a pickled module is never loaded\n"
            "turn it into one where it was made: torch.save(model.state_dict(), 'weights.pt')"
        ) from None
    for key in KEYS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            break
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise InputError(f"{path}: holds no state_dict: expected names and tensors, bare or under {', '.join(KEYS)}")
    if not all(isinstance(name, str) for name in found):
        raise InputError(f"{path}: its tensors have no names; expected a state_dict")
    for name, tensor in found.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
            raise InputError(
                f"{path}: {name} is sparse, empty or of another kind than plain numbers; convert it where it was made"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: {name} holds numbers that are not finite; the model is broken")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return dict(found)


def _class_count(recipe: Header, tensors: dict[str, Tensor]) -> int:
    """The number of classes with which the architecture has the shapes of these weights."""
    for count in sorted({tensor.shape[0] for tensor in tensors.values() if tensor.ndim}):
        if 2 <= count <= MOST_CLASSES:
            network = stack.classifier_of(stack.build({**recipe, "classes": list(range(count))}, [])).network
            shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
            if shapes == {name: tensor.shape for name, tensor in tensors.items()}:
                return count
    raise InputError("the weights fit the architecture with no number of classes; check --arch, its options and --input")


def _classes(classes: str | None, data: str | None, recipe: Header, tensors: dict[str, Tensor], talk: Talk) -> list[str]:
    if classes:
        return [one.strip() for one in classes.split(",")]
    if data:
        return list(inputs.open_data(data.removesuffix(":test"), "train").classes)
    count = _class_count(recipe, tensors)
    talk.warn(f"classes are called 0 to {count - 1}, matched by position; name them with --classes or --data")
    return [str(k) for k in range(count)]


def _shape(text: str) -> tuple[int, int, int]:
    pieces = text.lower().split("x")
    if len(pieces) != 3 or not all(piece.isascii() and piece.isdecimal() and 0 < int(piece) <= 65536 for piece in pieces):
        raise CommandError(f"--input {text}: is channels x height x width, such as 3x32x32")
    return int(pieces[0]), int(pieces[1]), int(pieces[2])


def _channels(text: str | None, count: int, default: float, name: str) -> list[float]:
    if text is None:
        return [default] * count
    try:
        values = [float(fraction(piece)) for piece in text.split(",")]
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--{name}: {error}") from None
    values = values * count if len(values) == 1 else values
    if len(values) != count or (name == "std" and min(values) <= 1e-12):
        raise CommandError(f"--{name} {text}: takes {count} positive numbers, one for each channel")
    return values
