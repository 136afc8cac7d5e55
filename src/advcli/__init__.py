"""How robust is this image classifier, really? Train, attack, defend, evaluate and look, over files or in memory.

The verbs are functions with the names and defaults of the command line::

    import advcli
    model = advcli.train(data="digits")
    adversarial = advcli.attack(method="pgd", model=model, eps="0.1", steps=20)
    print(advcli.evaluate([adversarial], model=[model]))

In a notebook, `attack` and `evaluate` take modules, tensors, arrays and data sets of torch's, and write nothing::

    found = advcli.attack(net, (images, labels), method="pgd", eps="8/255", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    advcli.evaluate(found, model=net, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)).to_frame()

`help(advcli.attack)` lists the options of a verb.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from advcli.runtime.printing_reporter import PrintingReporter
from advcli.runtime.version import __version__

if TYPE_CHECKING:
    from advcli.crafting.adversarial_images import AdversarialImages

    attack: Callable[..., Any]
    audit: Callable[..., Any]
    defend: Callable[..., Any]
    evaluate: Callable[..., Any]
    export: Callable[..., Any]
    import_: Callable[..., Any]
    show: Callable[..., Any]
    stats: Callable[..., Any]
    train: Callable[..., Any]
    verify: Callable[..., Any]

VERBS = ("attack", "audit", "defend", "evaluate", "export", "import_", "show", "stats", "train", "verify")
__all__ = [
    "AdversarialImages",
    "PrintingReporter",
    "__version__",
    "attack",
    "audit",
    "defend",
    "evaluate",
    "export",
    "import_",
    "show",
    "stats",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Load a verb on first use, so that `import advcli` alone is fast."""
    if name == "AdversarialImages":
        from advcli.crafting.adversarial_images import AdversarialImages

        return AdversarialImages
    if name not in VERBS:
        raise AttributeError(f"module 'advcli' has no attribute {name!r}")
    from advcli.verbs import call

    return call.function(name.rstrip("_"))


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
