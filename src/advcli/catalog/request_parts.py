"""Options that several verbs share, in groups; each group is a heading of the help."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from advcli.catalog.options import (
    Allow,
    BatchSize,
    Classes,
    Clip,
    Data,
    DataDir,
    Device,
    Download,
    DryRun,
    EarlyStop,
    Eot,
    Eps,
    FitData,
    FitDir,
    FitEpochs,
    FitLimit,
    FitRate,
    Force,
    ImageSize,
    Label,
    Limit,
    MaxQueries,
    Opponents,
    Output,
    Part,
    PerClass,
    Precision,
    Quantize,
    Resize,
    Restarts,
    Rounding,
    Seed,
    Shard,
    SoftmaxTemperature,
    Split,
    Static,
    Target,
    Threads,
    Workers,
)
from advcli.catalog.params import Param
from advcli.catalog.request import COMMON, Request

HEADINGS = (COMMON, "Data", "Training", "Fitting", "Strength", "Running", "Output")  # of a help screen, in this order


@dataclass(frozen=True, kw_only=True)
class Source(Request):
    """The place where data sets are kept."""

    heading: ClassVar[str] = "Data"

    image_size: ImageSize = None
    resize: Resize = None
    data_dir: DataDir = None
    download: Download = False


@dataclass(frozen=True, kw_only=True)
class Selection(Source):
    """The images that are taken of a data set."""

    data: Data = None
    limit: Limit = None
    per_class: PerClass = None
    part: Part = None
    classes: Classes = None


@dataclass(frozen=True, kw_only=True)
class SplitSelection(Selection):
    """The images that are taken of a split."""

    split: Split = None


@dataclass(frozen=True, kw_only=True)
class Running(Request):
    """The device, threads and batch size of a command."""

    heading: ClassVar[str] = "Running"

    seed: Seed = 0
    batch_size: BatchSize = None
    device: Device = "auto"
    threads: Threads = None


@dataclass(frozen=True, kw_only=True)
class Sharing(Request):
    """How several processes make one output."""

    heading: ClassVar[str] = "Running"

    workers: Workers = 1
    shard: Shard = None


@dataclass(frozen=True, kw_only=True)
class Allowing(Request):
    """The user's own code that a model file may use."""

    heading: ClassVar[str] = "Running"

    allow: Allow = ()


@dataclass(frozen=True, kw_only=True)
class Destination(Request):
    """The file or folder of the result."""

    heading: ClassVar[str] = "Output"

    output: Output = None
    force: Force = False


@dataclass(frozen=True, kw_only=True)
class DryRunning(Request):
    """Whether a command only estimates its cost."""

    heading: ClassVar[str] = "Running"

    dry_run: DryRun = False


@dataclass(frozen=True, kw_only=True)
class TrainingLoop(Request):
    """The settings of the training loop and the initial weights."""

    heading: ClassVar[str] = "Training"

    epochs: Annotated[int | None, Param("Passes over the data. [default: 3 to 40 by the size of the data]", low=1)] = None
    optimizer: Annotated[Literal["adam", "adamw", "sgd"], Param("Optimizer.")] = "adam"
    lr: Annotated[float | None, Param("Learning rate. [default: 0.002, of sgd 0.05]", low=0, high=1000)] = None
    schedule: Annotated[Literal["constant", "step", "cosine", "onecycle"], Param("Learning rate schedule.")] = "constant"
    momentum: Annotated[float, Param("Momentum of sgd.", low=0, high=0.9999)] = 0.9
    weight_decay: Annotated[float, Param("Weight decay.", low=0, high=1000)] = 0.0
    clip: Annotated[float | None, Param("Clip the gradient of each step to this norm.", low=0)] = None
    ema: Annotated[float | None, Param("Keep a running average of the weights with this decay.", low=0, high=0.999999)] = None
    augment: Annotated[
        str | None, Param("Random augmentation: crop, flip, noise:SIGMA, or several of them.", form="WORD,...")
    ] = None
    augment_adv: Annotated[
        tuple[str, ...],
        Param("Train on the images of this adversarial set too, which was made from the training split; may be repeated.",
              form="FILE"),
    ] = ()  # fmt: skip
    fooling: Annotated[
        tuple[str, ...],
        Param("Train on the pictures of this set of fool-gradient or fool-evolve too, as a class of their own: fooling; may be "
              "repeated.", form="FILE"),
    ] = ()  # fmt: skip
    preprocess: Annotated[
        str | None,
        Param("Train with a filter in front of the network; it becomes part of the model: gaussian:sigma=2.", form="DEFENSE"),
    ] = None
    keep: Annotated[
        Literal["last", "best"],
        Param("Keep the weights of the last epoch, or of the best on validation images (adversarial training: under PGD)."),
    ] = "last"
    patience: Annotated[int | None, Param("Stop after this many epochs without improvement on validation images.", low=1)] = None
    stop_at: Annotated[float | None, Param("Stop when validation accuracy reaches this value.", low=0, high=1)] = None
    teacher: Annotated[
        str | None,
        Param(
            "The model to learn from: the teacher of distill, a model behind kde for kde-confidence.",
            form="FILE",
            needs="teacher",
        ),
    ] = None
    weights: Annotated[str | None, Param("Start from a model file or from foreign weights.", form="FILE")] = None
    pretrained: Annotated[bool, Param("Start from the weights that torchvision publishes.")] = False
    freeze_until: Annotated[str | None, Param("Freeze the layers before this one.", form="LAYER")] = None
    precision: Annotated[Literal["float32", "bfloat16"], Param("Precision of the training; validation always uses float32.")] = (
        "float32"
    )


@dataclass(frozen=True, kw_only=True)
class Fitting(Request):
    """The data and the settings with which a defense is fitted."""

    heading: ClassVar[str] = "Fitting"

    data: FitData = None
    limit: FitLimit = None
    data_dir: FitDir = None
    against: Opponents = ("fgsm",)
    epochs: FitEpochs = None
    lr: FitRate = None


@dataclass(frozen=True, kw_only=True)
class Strength(Request):
    """The budget and the effort of an attack."""

    heading: ClassVar[str] = "Strength"

    eps: Eps = None
    target: Target = None
    label: Label = "true"
    temperature: SoftmaxTemperature = None
    restarts: Restarts = 1
    early_stop: EarlyStop = True
    clip: Clip = True
    max_queries: MaxQueries = None
    static: Static = False
    eot: Eot = None
    quantize: Quantize = False
    rounding: Rounding = "nearest"
    precision: Precision = "float32"
