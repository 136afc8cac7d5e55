"""The shared options of verbs and methods: each has one name, one help text, one range and one default.

A verb's and a method's keyword parameters are annotated with the types below (or with their own
``Annotated[type, Param(...)]``). From these annotations come the options of the command line, the checks of the
Python functions, and the parameters in every header. This module imports neither torch nor typer.
"""

from typing import Annotated, Literal

from advcli.catalog.params import Param

# Options of the verbs.
Files = Annotated[tuple[str, ...], Param("Image-set files.", form="FILE")]
AnyFiles = Annotated[tuple[str, ...], Param("Model files and image-set files.", form="FILE")]
Models = Annotated[
    tuple[str, ...], Param("A model file; may be repeated. [default: model.safetensors and defended.safetensors]",
                           form="FILE")
]  # fmt: skip
Model = Annotated[
    str | None, Param("The model file. [default: model.safetensors, trained first where there is none]", form="FILE")
]
Data = Annotated[
    str | None,
    Param("A data set (digits, mnist, cifar10, ...), a folder of pictures, a .csv of their labels, .npz, .pt, or an image-set "
          "file; NAME:SPLIT picks the split.", form="DATA", needs="images"),
]  # fmt: skip
Split = Annotated[Literal["train", "val", "test"] | None, Param("Split of the data.", needs="images")]
Limit = Annotated[
    int | None, Param("Use N images: the first of every class, in proportion to its size.", low=1, form="N", needs="images")
]
PerClass = Annotated[int | None, Param("Use the first N images of every class.", low=1, form="N", needs="images")]
Part = Annotated[
    str | None,
    Param("Use one of N parts that share no image and have equal shares of every class: 1/5 to 5/5.", form="K/N", needs="images"),
]
Classes = Annotated[str | None, Param("Use only these classes, in this order: 6,7.", form="NAME,...", needs="images")]
ImageSize = Annotated[
    int | None,
    Param("Crop the images of a folder to N x N pixels, from the centre, after --resize.", low=1, form="N", needs="images"),
]
Resize = Annotated[
    int | None,
    Param("Resize the images of a folder to N pixels on the shorter side, before the crop.", low=1, form="N", needs="images"),
]
DataDir = Annotated[
    str | None, Param("Folder of downloaded data sets. [default: ADVCLI_DATA, else the user's cache]", form="DIR", needs="images")
]
Download = Annotated[
    bool, Param("Download a data set or weights that are missing; without this option nothing is downloaded.", needs="images")
]
Seed = Annotated[int, Param("Seed of every random draw.", low=0, high=2**63 - 1)]
BatchSize = Annotated[int | None, Param("Images in a batch. [default: 64, on a GPU 512]", low=1, form="N")]
PartSize = Annotated[int, Param("Batches in one part; an interrupted run resumes after its last finished part.", low=1)]
Device = Annotated[str, Param("cpu, cuda, cuda:1, or auto.", form="DEVICE")]
Threads = Annotated[
    int | None, Param("Threads of the processor; files tell it, since it can change the last bit. [default: torch's]",
                      low=1, high=1024, form="N")
]  # fmt: skip
Workers = Annotated[
    int, Param("Processes that make the set together, each with a share of the cores or a GPU.", low=1, high=1024)
]
Shard = Annotated[
    str | None, Param("Make only this share of the parts, as in a job array: 3/8; the last one to end assembles.", form="K/N")
]
Precision = Annotated[
    Literal["float32", "bfloat16"], Param("Precision of the search; the verdict always uses float32.", needs="gradient")
]
Output = Annotated[str | None, Param("Where to write the result.", form="PATH", short="-o")]
Allow = Annotated[
    tuple[str, ...], Param("Import this code of your own if a model file names it; may be repeated.", form="MODULE:FUNCTION")
]
Force = Annotated[bool, Param("Overwrite the output if it exists.")]
DryRun = Annotated[bool, Param("Only print how many rows, bytes and seconds it would take.")]

# Options of defenses.
Fpr = Annotated[float, Param("False-positive rate: share of clean images that it may reject.", low=0.0001, high=0.9)]
FeatureLayers = Annotated[
    int, Param("Last layers with weights whose inputs are measured; fewer where the network has fewer.", low=1, high=1000)
]
Passes = Annotated[int, Param("Number of passes that vote.", low=1, high=10000)]
DropRate = Annotated[
    float | None, Param("Dropout rate of every dropout layer. [default: each layer's own]", low=0.001, high=0.99)
]
Members = Annotated[
    tuple[str, ...],
    Param("Another model, for methods that combine several; may be repeated.", form="FILE", needs="members"),
]
FitData = Annotated[
    str | None,
    Param("Data to fit the defense on. [default: what the model was trained on: train to learn from, val for a threshold]",
          form="DATA", needs="fits"),
]  # fmt: skip

FitLimit = Annotated[
    int | None, Param("Fit on N images: the first of every class, in proportion to its size.", low=1, form="N", needs="fits")
]
FitEpochs = Annotated[int | None, Param("Epochs. [default: 3 to 40 by their number]", low=1, form="N", needs="learns")]
FitRate = Annotated[float | None, Param("Learning rate. [default: 0.002]", low=0, high=1000, needs="learns")]
Opponents = Annotated[
    tuple[str, ...],
    Param("An attack to train against, such as fgsm:eps=0.2; may be repeated. [default: fgsm]", form="ATTACK", needs="opponents"),
]
FitDir = Annotated[
    str | None, Param("Folder of downloaded data sets. [default: ADVCLI_DATA, else the user's cache]", form="DIR", needs="fits")
]
FitOn = Annotated[
    str | None,
    Param("Data to fit the method on. [default: the train split of what the model was trained on]", form="DATA", needs="fits"),
]
FitSome = Annotated[
    int | None,
    Param(
        "Fit on N images, every class in proportion to its size. [default: substitute 150, universal 2000]",
        low=1,
        form="N",
        needs="fits",
    ),
]

# Options of attacks.
Applied = Annotated[
    str | None, Param("Add the perturbations of a file X.universal.h5 instead of running a method.", form="FILE", needs="images")
]
StandInAttack = Annotated[
    str, Param("Attack on the substitute, within --eps: pgd:steps=10,step_size=0.05.", form="ATTACK:NAME=VALUE,...")
]
StandInArch = Annotated[
    str, Param("Architecture of the substitute, with its options: mlp:hidden=200,200.", form="ARCH:NAME=VALUE,...")
]
Init = Annotated[Literal["noise", "grey", "black", "white"], Param("Start images: noise, or a plain colour.", needs="start")]
Count = Annotated[int, Param("Number of images for each target class.", low=1, form="N", needs="start")]
DrawnSize = Annotated[
    int | None,
    Param("Draw the networks of fool-evolve --encoding cppn again, N pixels on the longer side.", low=1, high=4096, form="N"),
]
Eps = Annotated[
    str | None,
    Param("Budgets: 0.3, 8/255, a list, or a sweep 0:0.3:0.025. [default grey / colour: linf 0.3 / 8/255, "
          "l2 2.0 / 0.5, l1 20 / 12]", form="SWEEP", needs="budget"),
]  # fmt: skip
Target = Annotated[
    str | None,
    Param("Target class: a number, a name, or random, next, least-likely, other (all but the label), all.",
          form="CLASS", needs="targeted"),
]  # fmt: skip
Label = Annotated[
    Literal["true", "pred"],
    Param("Class to leave: the true one (misclassified images are then not attacked), or the model's own prediction, for "
          "every image; success counts the correct ones.", needs="untargeted"),
]  # fmt: skip
SoftmaxTemperature = Annotated[
    float | None,
    Param("Divide the logits by this where the objective (xent, prob) takes their softmax; without it only logits that lie too "
          "far apart or too close for a softmax are divided.", low=0.001, high=1e6, needs="gradient"),
]  # fmt: skip
Restarts = Annotated[int, Param("Number of random starts; the best attempt is kept.", low=1, needs="random")]
EarlyStop = Annotated[
    bool, Param("Stop working on an image once it is adversarial, or always use the full strength.", needs="stops")
]
Clip = Annotated[
    bool,
    Param("Keep the images in [0, 1], or clip nothing, as the paper does: such pixels are in no image file.", needs="unclipped"),
]
MaxQueries = Annotated[
    int | None,
    Param("Largest number of queries for each image, budget and target, trust checks aside.", low=1, form="N", needs="queries"),
]
Static = Annotated[bool, Param("Attack the model without its defenses: a static attack, not an adaptive one.")]
Eot = Annotated[
    int | None,
    Param("Draws to average for each gradient of a random defense. [default: 8 where the model draws]", low=1, form="N"),
]
Quantize = Annotated[bool, Param("Round to 8-bit pixels inside the budget, so that a PNG file keeps the image exactly.")]
Rounding = Annotated[
    Literal["nearest", "trunc"], Param("With --quantize: round to the nearest byte, or truncate the perturbation to whole bytes.")
]
Perturbations = Annotated[bool, Param("Also write the perturbations, to perturbations.h5 or beside the -o name.")]
Norm = Annotated[Literal["linf", "l2", "l1"], Param("Norm of the budget.")]
OneEps = Annotated[
    str | None,
    Param("Budget: 0.3, 8/255. [default grey / colour: linf 0.3 / 8/255, l2 2.0 / 0.5, l1 20 / 12]",
          form="BUDGET", needs="budget"),
]  # fmt: skip
Against = Annotated[
    str,
    Param("The attack used in training, with its options: pgd:eps=0.3,steps=10,step_size=0.05.", form="ATTACK:NAME=VALUE,..."),
]
Warmup = Annotated[float, Param("Epochs over which the budget grows from 0 to its full size.", low=0)]
Awp = Annotated[float, Param("Train at weights moved uphill by this share of their length, such as 0.005.", low=0, high=1)]
Steps = Annotated[int, Param("Number of gradient steps.", low=1)]
StepSize = Annotated[str, Param("Length of a step: 0.01, 2/255, eps/10, 2.5*eps/steps.", form="LENGTH")]
FailUnder = Annotated[
    tuple[str, ...],
    Param("Exit 1 below this: accuracy=0.9, robust_accuracy=0.45 or robust_accuracy@8/255=0.45; also if no set was made "
          "against the model itself.", form="METRIC=X"),
]  # fmt: skip
Bar = Annotated[
    Literal["low", "estimate"],
    Param("Value that --fail-under uses: the lower end of the 95 % interval, or the figure itself."),
]
Strict = Annotated[bool, Param("Exit 1 if a trust check reports FAIL.")]
OwnChecks = Annotated[
    tuple[str, ...],
    Param("A trust check of your own, in addition to the built-in ones: package.module:function; may be repeated.", form="NAME"),
]
Objective = Annotated[
    Literal["xent", "logit", "prob", "margin", "dlr"],
    Param(
        "Loss to maximize: cross-entropy (xent), the logit of the class, its probability, the margin to the next class, or "
        "the margin divided by the spread of the logits (dlr)."
    ),
]

# Options of recipes.
Temperature = Annotated[float, Param("Temperature: divisor of the logits, in training only.", low=0.001)]
