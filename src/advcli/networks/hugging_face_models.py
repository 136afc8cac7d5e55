"""Image classifiers of Hugging Face's transformers, built from a configuration, with given or new weights.

Nothing is fetched and no code of a configuration's author runs: what names code, another network or another file is refused.
"""

import contextlib
import importlib
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from advcli.catalog import hugging_face_names
from advcli.errors import CommandError, InputError, described
from advcli.files.header import canonical

REFUSED = ("auto_map", "backbone", "backbone_config", "use_timm_backbone", "quantization_config", "adapter", "custom_pipelines")
LEFT_OUT = (
    "architectures",
    "attn_implementation",
    "dtype",
    "torch_dtype",
    "id2label",
    "label2id",
    "num_labels",
    "transformers_version",
    "problem_type",
)


def __getattr__(name: str) -> Callable[..., Any]:
    if hugging_face_names.NAME.fullmatch(name) is None:
        raise AttributeError(f"module 'advcli.networks.hugging_face_models' has no attribute {name!r}")
    kind = name.removeprefix(hugging_face_names.PREFIX)
    _import_code(kind)
    return partial(build, kind)


def _import_code(kind: str) -> None:
    """Have transformers import the code of a type of network, before the limits of a child count what that takes."""
    library = _library()
    with contextlib.suppress(Exception), torch.random.fork_rng(devices=[]), torch.device("meta"):
        library.AutoModelForImageClassification.from_config(library.AutoConfig.for_model(kind), trust_remote_code=False)


def build(kind: str, shape: tuple[int, int, int], classes: int, *, config: str) -> nn.Module:
    """The network of a configuration, with new weights."""
    if not config:
        name = hugging_face_names.PREFIX + kind
        raise CommandError(f"{name}: has no configuration; networks of transformers come from a folder: advcli import FOLDER")
    return _built(kind, config, classes)[0]


def with_weights(kind: str, config: str, classes: int, tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The weights by the names that the installed transformers has for them; refused if one is missing or does not fit."""
    network, stated = _built(kind, config, classes)
    try:
        loaded, told = type(network).from_pretrained(  # type: ignore[attr-defined]  # of transformers' base class
            None, config=stated, state_dict=dict(tensors), output_loading_info=True
        )
    except Exception as error:  # it raises many kinds for weights of another network
        raise InputError(f"{where}: the weights do not fit {kind} ({described(error)})") from None
    keys = ("missing_keys", "mismatched_keys", "unexpected_keys")
    missing, strange, more = (sorted(map(str, told.get(key) or ())) for key in keys)
    if missing or strange:
        word, name = ("lacks", missing[0]) if missing else ("has other shapes of", strange[0])
        raise InputError(f"{where}: {word} weights of {kind}, first {name}; is it a classifier, not a backbone alone?")
    if more:
        raise InputError(
            f"{where}: has weights that {type(network).__name__} does not take, first {more[0]}: it is another network"
        )
    found: dict[str, Tensor] = loaded.state_dict()
    return found


def plain(config: dict[str, Any], where: str) -> str:
    """A configuration without what only names or loads things, as canonical JSON."""
    kept = _kept(config)
    _refuse(kept, where)
    return canonical(kept).decode()


def _kept(config: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in config.items() if key not in LEFT_OUT and not key.startswith("_")}


def _built(kind: str, config: str, classes: int) -> tuple[nn.Module, Any]:
    """A network and its configuration, as transformers makes them."""
    name = hugging_face_names.PREFIX + kind
    try:
        stated = json.loads(config)
    except (ValueError, RecursionError):
        raise InputError(f"{name}: its configuration is not JSON") from None
    if not isinstance(stated, dict):
        raise InputError(f"{name}: its configuration is not a JSON object")
    given = _kept(stated)
    _refuse(given, name)
    given.pop("model_type", None)
    library = _library()
    try:
        made = library.AutoConfig.for_model(kind, **given, num_labels=classes)
        network = library.AutoModelForImageClassification.from_config(made, attn_implementation="eager", trust_remote_code=False)
    except Exception as error:  # a configuration is anybody's text
        raise InputError(f"{name}: cannot be built from its configuration ({described(error)})") from None
    return cast(nn.Module, network), made


def _library() -> Any:
    """transformers, quiet unless somebody else has imported it."""
    quiet = "transformers" not in sys.modules
    found = importlib.import_module("transformers")
    if quiet:
        found.logging.set_verbosity_error()
        found.logging.disable_progress_bar()
    return found


def _refuse(config: Any, where: str) -> None:
    """Refuse a configuration that names code, or a network or a file outside of it."""
    if isinstance(config, dict):
        for key, one in config.items():
            if key in REFUSED and one not in (None, False, {}):
                raise InputError(f"{where}: its configuration has {key!r}, which names code or weights elsewhere: refused")
            _refuse(one, where)
    if isinstance(config, list):
        for one in config:
            _refuse(one, where)
