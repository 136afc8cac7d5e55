"""The table of what is measured: a cell is a model, a method and a question.

Two questions apart. `full`: what does the full strength cost, at equal steps? `verdict`: how soon is it known, and
verified, which images fall? The parameters go to every tool; a number is written as the command line takes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MNIST, CIFAR, TRAINED = "mnist-cnn", "cifar10-resnet18", "mnist-adversarial"
FULL, VERDICT = "full", "verdict"


@dataclass(frozen=True)
class Cell:
    """One comparison: every tool that has the method, on the same weights, images and parameters."""

    model: str
    method: str
    question: str
    count: int
    parameters: dict[str, Any]
    variant: str = ""
    compared: str = "l2"  # whose medians are set against each other
    minimal: bool = False  # whether a smaller distance is the aim
    target: bool = False  # towards the next class
    half: bool = False  # also in bfloat16
    cap: float = 120.0  # seconds of CPU time for one run of one tool
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict)  # what one tool is given instead

    @property
    def name(self) -> str:
        return f"{self.model}.{self.method}{'-' * bool(self.variant)}{self.variant}.{self.question}"


LINF = {
    MNIST: {"eps": "0.3", "steps": 40, "step_size": "0.01"},
    CIFAR: {"eps": "8/255", "steps": 20, "step_size": "2/255"},
}
LINF[TRAINED] = LINF[MNIST]
ENSEMBLE = {  # two budgets of each norm: one that some images resist, and one that few do
    MNIST: {"linf": ("0.15", "0.2"), "l2": ("1.75", "2.5")},
    TRAINED: {"linf": ("0.35", "0.4"), "l2": ("2.5", "3.5")},
    CIFAR: {"linf": ("3/255", "8/255"), "l2": ("0.35", "0.5")},
}
MIM = {MNIST: "0.03", CIFAR: "2/255"}
CLEVERHANS = {MNIST: 0.01, CIFAR: 0.01}  # its best rate at so few steps, of 0.005, 0.01, 0.02, 0.05 and 0.1
SWEEP = {MNIST: "0:0.3:0.025", CIFAR: "0:12/255:1/255"}


CW = {"searches": 5, "steps": 200, "lr": 0.01, "const": 0.01}


def cells() -> list[Cell]:
    """All cells: one step, many steps, as near as possible, by scores, by decisions, by moving the picture."""
    return [*_gradient(), *_nearest(), *_blind(), *_by_scores(), *_ensembles()]


def _gradient() -> Iterator[Cell]:
    for model, linf in LINF.items():
        count, eps = 32 if model == CIFAR else 200, linf["eps"]
        if model != TRAINED:
            yield Cell(model, "fgsm", FULL, count, {"eps": eps})
            yield Cell(model, "fgsm_sweep", VERDICT, count, {"eps": SWEEP[model]})
        for question in (FULL, VERDICT):
            yield Cell(model, "pgd", question, count, linf, half=True)
            if model != TRAINED:
                mim = {"eps": eps, "steps": 10, "step_size": MIM[model], "decay": 1}
                yield Cell(model, "mim", question, count, mim)
            for loss in ("ce", "dlr"):
                apgd = {"eps": eps, "steps": 50, "loss": loss}
                yield Cell(model, "apgd", question, count, apgd, variant=loss, half=True)


def _nearest() -> Iterator[Cell]:
    for model, count in ((MNIST, 64), (CIFAR, 32)):
        yield Cell(model, "deepfool", VERDICT, count, {"steps": 50, "overshoot": 0.02}, minimal=True)
        yield Cell(model, "cw", VERDICT, count, CW, minimal=True, tuned={"cleverhans": {"lr": CLEVERHANS[model]}})
    for model in (MNIST, TRAINED):
        for norm in ("linf", "l2"):
            steps = {"norm": norm, "steps": 50}
            yield Cell(model, "fab", VERDICT, 64, steps, variant=norm, compared=norm, minimal=True)
    for model, count in ((MNIST, 64), (CIFAR, 16)):
        yield Cell(model, "jsma", VERDICT, count, {"theta": 1, "gamma": 0.14}, compared="l0", target=True)


def _blind() -> Iterator[Cell]:
    for model, linf in LINF.items():
        count = 32 if model == CIFAR else 64
        yield Cell(model, "square", VERDICT, count, {"eps": linf["eps"], "queries": 1000})
        if model != TRAINED:
            jump = {"steps": 10, "first": 100, "most": 1000}
            yield Cell(model, "hopskipjump", VERDICT, 16, jump, minimal=True)
            yield Cell(model, "boundary", VERDICT, 16, {"steps": 1000}, minimal=True, tuned={"art": {"steps": 40}})
            grid = {"shift": 3, "shifts": 5, "angle": 30, "angles": 5}
            yield Cell(model, "spatial", VERDICT, 200 if model == MNIST else 32, grid)


def _by_scores() -> Iterator[Cell]:
    """At equal queries: a pair is two, a step of SimBA two, a round of local search as many as advertorch's largest."""
    for model, eps, few in ((MNIST, "0.3", 64), (CIFAR, "8/255", 32)):
        length = {MNIST: {"eps": "4", "step": 0.2}, CIFAR: {"eps": "2", "step": 0.1}}[model]
        yield Cell(model, "simba", VERDICT, few, {"norm": "l2", **length, "steps": 400})
        rate = {MNIST: 0.03, CIFAR: 0.005}[model]
        yield Cell(model, "spsa", VERDICT, few, {"eps": eps, "steps": 30, "pairs": 32, "delta": 0.01, "lr": rate})
        length = {MNIST: "0.03", CIFAR: "2/255"}[model]
        change = {"p": 1, "r": 1.5, "d": 5, "t": 5, "rounds": 30, "probes": 128}
        yield Cell(model, "local_search", VERDICT, 16, change, compared="l0", minimal=True)
        yield Cell(
            model, "one_pixel", VERDICT, 16, {"pixels": 3, "generations": 5, "population": 400}, compared="l0", minimal=True
        )


def _ensembles() -> Iterator[Cell]:
    for model, norms in ENSEMBLE.items():
        for norm, budgets in norms.items():
            for eps in budgets:
                given, variant = {"norm": norm, "eps": eps}, f"{norm}-{eps.replace('/', '_')}"
                yield Cell(model, "autoattack", VERDICT, 200, given, variant=variant, compared=norm, cap=3600)


@dataclass(frozen=True)
class Target:
    """How much faster than the best peer a cell is to be; than some of them only, where they are named."""

    cell: str
    times: float
    rivals: tuple[str, ...] = ()


def _both(cell: str, mnist: float, cifar: float, *rivals: str) -> list[Target]:
    return [Target(f"{MNIST}.{cell}", mnist, rivals), Target(f"{CIFAR}.{cell}", cifar, rivals)]


TARGETS = [
    *_both(f"pgd.{FULL}", 1.3, 1.3),
    *_both(f"apgd-ce.{FULL}", 1.2, 1.2),
    *_both(f"apgd-dlr.{FULL}", 1.2, 1.2),
    *_both(f"pgd.{VERDICT}", 3.5, 6),
    *_both(f"apgd-ce.{VERDICT}", 20, 20),
    *_both(f"apgd-dlr.{VERDICT}", 20, 20),
    *_both(f"fgsm_sweep.{VERDICT}", 2.5, 2.5),
    *_both(f"deepfool.{VERDICT}", 1.2, 1.2),
    *_both(f"cw.{VERDICT}", 2.5, 2.5),
    *(Target(f"{model}.fab-{norm}.{VERDICT}", 2, ("torchattacks",)) for model in (MNIST, TRAINED) for norm in ("linf", "l2")),
    *_both(f"jsma.{VERDICT}", 8, 8, "torchattacks", "advertorch"),
    *_both(f"square.{VERDICT}", 2, 2),
    *_both(f"hopskipjump.{VERDICT}", 2, 2),
    *_both(f"spatial.{VERDICT}", 6, 6),
    *(one for method in ("simba", "spsa", "local_search", "one_pixel") for one in _both(f"{method}.{VERDICT}", 2, 2)),
    *(
        Target(f"{cell.model}.{cell.method}-{cell.variant}.{VERDICT}", 2 if cell.model == TRAINED else 50)
        for cell in _ensembles()
    ),
]
