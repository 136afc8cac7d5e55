"""How robust is this image classifier, really? Train, attack, defend, evaluate and look, over files.

The verbs are functions with the names and defaults of the command line::

    import advcli
    model = advcli.train(data="digits")
    adversarial = advcli.attack(method="pgd", model=model, eps="0.1", steps=20)
    print(advcli.evaluate([adversarial], model=[model]))
"""

from typing import TYPE_CHECKING, Any

from advcli.runtime.version import __version__

if TYPE_CHECKING:
    from advcli.verbs.attack import attack
    from advcli.verbs.audit import audit
    from advcli.verbs.defend import defend
    from advcli.verbs.evaluate import evaluate
    from advcli.verbs.export import export
    from advcli.verbs.import_ import import_
    from advcli.verbs.show import show
    from advcli.verbs.stats import stats
    from advcli.verbs.train import train
    from advcli.verbs.verify import verify

__all__ = ["__version__", "attack", "audit", "defend", "evaluate", "export", "import_", "show", "stats", "train", "verify"]


def __getattr__(name: str) -> Any:
    """Load a verb on first use, so that `import advcli` alone is fast."""
    if name not in __all__:
        raise AttributeError(f"module 'advcli' has no attribute {name!r}")
    from advcli.verbs import call

    return call.function(name.rstrip("_"))


def __dir__() -> list[str]:
    return [*globals(), *__all__]
