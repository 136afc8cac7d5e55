"""The options of every verb: one dataclass for each verb, with the verb's help as its docstring and its options as fields.

A new option of a verb is one field here, and its use in the verb. The verbs that read, check and convert files are in
`file_requests.py`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from advcli.catalog.file_requests import ExportRequest, ImportRequest, ShowRequest, VerifyRequest
from advcli.catalog.options import (
    Applied,
    Bar,
    Count,
    FailUnder,
    Files,
    FitOn,
    FitSome,
    Init,
    Members,
    Model,
    Models,
    OwnChecks,
    PartSize,
    Perturbations,
    Seed,
    Strict,
)
from advcli.catalog.params import Param
from advcli.catalog.request import Request
from advcli.catalog.request_parts import (
    Allowing,
    Destination,
    DryRunning,
    Fitting,
    Running,
    Selection,
    Sharing,
    SplitSelection,
    Strength,
    TrainingLoop,
)


@dataclass(frozen=True, kw_only=True)
class TrainRequest(DryRunning, Destination, Allowing, Running, TrainingLoop, Selection):
    """Train a classifier.

    The result is model.safetensors, with its log beside it.
    """

    recipe: Annotated[
        str, Param("The training recipe: one of the list, or package.module:function.", form="NAME", chooses="recipe")
    ] = "standard"
    arch: Annotated[
        str | None,
        Param("The architecture: one of the list, a classifier of torchvision, timm:NAME, or package.module:function. "
              "[default: that of the model of --weights, or cnn]", form="NAME", chooses="architecture", assumed="cnn"),
    ] = None  # fmt: skip
    batch_size: Annotated[int | None, Param("Images in one training step. [default: 64, from 10,000 images on 128]", low=1)] = (
        None
    )
    mean: Annotated[
        str | None,
        Param("Mean of each channel, subtracted in the model. [default: the starting weights' own, or 0]", form="X,..."),
    ] = None
    std: Annotated[
        str | None,
        Param(
            "Standard deviation of each channel, by which the model divides. [default: the starting weights' own, or 1]",
            form="X,...",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class AttackRequest(DryRunning, Destination, Allowing, Sharing, Running, Strength, SplitSelection):
    """Make adversarial images of a model.

    The result is adversarial.h5, with perturbations.h5 beside it.
    """

    model: Model = None
    method: Annotated[
        str, Param("The method: one of those listed, or package.module:function of your own.", form="NAME", chooses="attack")
    ] = "pgd"
    fit_data: FitOn = None
    fit_limit: FitSome = None
    apply: Applied = None
    init: Init = "noise"
    count: Count = 1
    part_size: PartSize = 4
    check: OwnChecks = ()
    strict: Strict = False
    perturbations: Perturbations = True


@dataclass(frozen=True, kw_only=True)
class DefendRequest(DryRunning, Destination, Allowing, Running, Fitting):
    """Put a defense around a model, or filter images.

    The result is defended.safetensors, or F.filtered.h5 beside each F.h5.
    """

    files: Files = ()
    model: Model = None
    method: Annotated[
        str, Param("The method: one of those listed, or package.module:function of your own.", form="NAME", chooses="defense")
    ] = "squeeze"
    member: Members = ()
    batch_size: Annotated[
        int | None, Param("Images at a time. [default: 64, of files to filter on a GPU 512]", low=1, form="N")
    ] = None


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(Destination, Allowing, Running, SplitSelection):
    """Measure models on clean and adversarial images.

    Reports accuracy and success with exact intervals, and the threat model of each figure; -o table.csv, .md or .tex writes
    them to a file too.
    """

    files: Files = ()
    model: Models = ()
    metric: Annotated[
        tuple[str, ...],
        Param("A metric; may be repeated. [default: accuracy, success; broken-by of a cascade; coverage where models can reject]",
              form="NAME", chooses="metric"),
    ] = ()  # fmt: skip
    eps: Annotated[
        str | None,
        Param("Budgets at which minimal-norm sets are evaluated, by their distances, and of the metric verified: 0.5, a list, or "
              "a sweep 0:2:0.25. "
              "[default: that of their norm, and those of the other sets]", form="SWEEP"),
    ] = None  # fmt: skip
    pixels: Annotated[Literal["stored", "8-bit", "both"], Param("Evaluate the pixels as stored, rounded to 8 bits, or both.")] = (
        "stored"
    )
    compare: Annotated[bool, Param("Compare every other model with the first on the same images (McNemar's test).")] = False
    wide: Annotated[bool, Param("Print one line for each model, set and budget, with the metrics side by side.")] = False
    fail_under: FailUnder = ()
    bar: Bar = "low"
    check: OwnChecks = ()
    strict: Strict = False
    draws: Annotated[int, Param("Number of draws of a random defense; the spread is shown.", low=1)] = 3
    seed: Seed = 1


@dataclass(frozen=True, kw_only=True)
class AuditRequest(DryRunning, Destination, Allowing, Running, SplitSelection):
    """Say how robust a model is, from both sides, and how far the answer may be trusted.

    Runs attacks with gradients and without, checks whether they can be trusted, and proves what can be proved. The result is
    the folder M.audit beside M.safetensors: audit.json, the curve of accuracy by budget, and every adversarial set.
    """

    model: Model = None
    norm: Annotated[Literal["linf", "l2"], Param("Norm of the budget.")] = "linf"
    eps: Annotated[
        str | None, Param("The budget: 0.1 or 8/255. [default: 0.3 and 8/255 in linf, 2.0 and 0.5 in l2]", form="BUDGET")
    ] = None
    effort: Annotated[
        Literal["quick", "standard", "full"],
        Param("quick: 100 images, 200 queries a black box; standard: 1,000 and 1,000; full: all images, 5,000 queries."),
    ] = "standard"
    batch_size: Annotated[
        int | None, Param("Images at a time. [default: 256 up to 3x32x32, larger ones 64, on a GPU 512]", low=1, form="N")
    ] = None
    fail_under: FailUnder = ()
    bar: Bar = "low"
    strict: Strict = False
    check: OwnChecks = ()


@dataclass(frozen=True, kw_only=True)
class StatsRequest(Destination, Allowing, Running):
    """Compute statistics of images and perturbations.

    Writes tables of outcomes, norms, values and costs, and figures, to the folder F.stats beside F.h5; with -o table.csv, .md
    or .tex only the table of norms, values and costs.
    """

    files: Files = ()
    model: Annotated[
        tuple[str, ...],
        Param("A model file, for figures of decisions and of models; may be repeated. [default: model.safetensors]", form="FILE"),
    ] = ()
    figure: Annotated[
        tuple[str, ...],
        Param("A figure: one of those listed, or package.module:function of your own; may be repeated.", form="NAME",
              chooses="figure"),
    ] = ("norms", "values", "sheet")  # fmt: skip
    format: Annotated[tuple[Literal["png", "svg", "pdf"], ...], Param("Format of the figures; may be repeated.")] = ("png",)
    of: Annotated[
        str | None, Param("Values to summarise: images, originals or perturbations. [default: all there are]", form="WHAT")
    ] = None
    by: Annotated[
        str, Param("Group rows by label, target, prediction, or several of them; none makes one group.", form="WORD,...")
    ] = "none"
    where: Annotated[
        str | None, Param("Use only rows with these values: label=1,target=2,epsilon=0.1,success=1.", form="WORD=X,...")
    ] = None
    rows: Annotated[
        Literal["attacked", "successes", "failures", "all"] | None,
        Param("Rows to use for norms, values and figures. [default: attacked; of a minimal-norm method successes; of a set "
              "that no attack made all]"),
    ] = None  # fmt: skip
    draws: Annotated[int, Param("Number of draws of a random defense, for figures of decisions.", low=1)] = 3
    seed: Seed = 1


REQUESTS: dict[str, type[Request]] = {
    "train": TrainRequest,
    "attack": AttackRequest,
    "defend": DefendRequest,
    "evaluate": EvaluateRequest,
    "audit": AuditRequest,
    "stats": StatsRequest,
    "show": ShowRequest,
    "verify": VerifyRequest,
    "import": ImportRequest,
    "export": ExportRequest,
}
