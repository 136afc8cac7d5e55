"""The layers of a network in the order in which an image passes them, and what each gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from advcli.networks.classifier import Dropout

WITHOUT_EFFECT = (Dropout, nn.Dropout, nn.Dropout2d, nn.Identity, nn.Flatten)  # in evaluation: the values stay
Seen = Callable[[str, nn.Module, Tensor], None]


def leaves(model: nn.Module) -> dict[str, nn.Module]:
    """The modules without modules inside, by name; each once."""
    return {name: one for name, one in model.named_modules() if not any(True for _ in one.children())}


def tensor_in(found: object) -> Tensor | None:
    """The values that a layer gives: its tensor of floating-point numbers, or the first of several."""
    if isinstance(found, tuple | list) and found:
        found = found[0]
    return found if isinstance(found, Tensor) and found.is_floating_point() and found.ndim else None


@contextmanager
def watched(model: nn.Module, seen: Seen) -> Iterator[None]:
    """Call `seen` with the name, the layer and its output whenever a layer is passed; a repeated layer more than once."""
    hooks = []
    for name, one in leaves(model).items():

        def hook(layer: nn.Module, given: object, found: object, name: str = name) -> None:
            if (values := tensor_in(found)) is not None:
                seen(name, layer, values.detach())

        hooks.append(one.register_forward_hook(hook))
    try:
        yield
    finally:
        for kept in hooks:
            kept.remove()
