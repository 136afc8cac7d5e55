"""How robust is this image classifier, really? Train, attack, defend, evaluate and look, over files.

The verbs are functions with the names and defaults of the command line::

    import advcli
    model = advcli.train(data="digits")
    adversarial = advcli.attack(method="pgd", model=model, eps="0.1", steps=20)
    print(advcli.evaluate([adversarial], model=[model]))
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from advcli.pipeline.attack import attack
    from advcli.pipeline.defend import defend
    from advcli.pipeline.evaluate import evaluate
    from advcli.pipeline.exporting import exporting as export
    from advcli.pipeline.importing import importing as import_
    from advcli.pipeline.show import show
    from advcli.pipeline.stats import stats
    from advcli.pipeline.train import train
    from advcli.pipeline.verify import verify

_VERBS = {
    "train": "train",
    "attack": "attack",
    "defend": "defend",
    "evaluate": "evaluate",
    "stats": "stats",
    "show": "show",
    "verify": "verify",
    "import_": "importing",
    "export": "exporting",
}

__all__ = ["attack", "defend", "evaluate", "export", "import_", "show", "stats", "train", "verify"]


def __getattr__(name: str) -> Any:
    """A verb is loaded when it is asked for: `import advcli` alone is instant."""
    if name not in _VERBS:
        raise AttributeError(f"module 'advcli' has no attribute {name!r}")
    return getattr(importlib.import_module(f"advcli.pipeline.{_VERBS[name]}"), _VERBS[name])
