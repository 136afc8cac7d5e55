"""The vocabulary: one word for one idea. What verbs and methods take, its help, its range, its default.

A verb's and a method's keyword parameters are annotated with the words below (or with their own
``Annotated[type, Param(...)]``). From these annotations come the options of the command line, the checks of the
Python functions, and the parameters in every header. Neither torch nor typer is known here.
"""

from typing import Annotated, Literal

from advcli.catalog.params import Param

# Words of the verbs.
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
    Param("A data set (digits, mnist, cifar10, ...), a folder of class folders, .npz, or an image-set file; NAME:SPLIT "
          "picks the split.", form="DATA", needs="images"),
]  # fmt: skip
Split = Annotated[Literal["train", "val", "test"] | None, Param("Which split of the data.", needs="images")]
Limit = Annotated[int | None, Param("Use N images: the first of every class, in its share.", low=1, form="N", needs="images")]
PerClass = Annotated[int | None, Param("Use the first N images of every class.", low=1, form="N", needs="images")]
Classes = Annotated[str | None, Param("Keep these classes, in this order: 6,7.", form="NAME,...", needs="images")]
ImageSize = Annotated[
    int | None,
    Param("Pixels of a folder's images: N x N, after --resize cut from the middle.", low=1, form="N", needs="images"),
]
Resize = Annotated[
    int | None, Param("Make the shorter side of a folder's images N pixels, before the cut.", low=1, form="N", needs="images")
]
DataDir = Annotated[
    str | None, Param("Folder of downloaded data sets. [default: ADVCLI_DATA, else the user's cache]", form="DIR", needs="images")
]
Download = Annotated[
    bool, Param("Fetch a data set or weights that are not there; nothing is downloaded without.", needs="images")
]
Seed = Annotated[int, Param("Seed of every random draw.", low=0, high=2**63 - 1)]
BatchSize = Annotated[int | None, Param("Images at a time. [default: 64, on a GPU 512]", low=1, form="N")]
PartSize = Annotated[int, Param("Batches in one part, the unit that a rerun resumes from.", low=1)]
Device = Annotated[str, Param("cpu, cuda, cuda:1, or auto.", form="DEVICE")]
Precision = Annotated[
    Literal["float32", "bfloat16"], Param("Arithmetic of the search; verdicts are always float32.", needs="gradient")
]
Output = Annotated[str | None, Param("Where to write the result.", form="PATH", short="-o")]
Allow = Annotated[
    tuple[str, ...], Param("Run this code of your own where a model file names it; may be repeated.", form="MODULE:FUNCTION")
]
Force = Annotated[bool, Param("Overwrite the output if it exists.")]
DryRun = Annotated[bool, Param("Only say how many rows, bytes and seconds it would take.")]

# Words of defenses.
Fpr = Annotated[float, Param("Share of clean images that it may reject.", low=0.0001, high=0.9)]
Passes = Annotated[int, Param("Passes that vote.", low=1, high=10000)]
DropRate = Annotated[
    float | None, Param("Share dropped by every layer that drops. [default: each layer's own]", low=0.001, high=0.99)
]
Members = Annotated[
    tuple[str, ...],
    Param("A model beside it, for methods that take several; may be repeated.", form="FILE", needs="members"),
]
FitData = Annotated[
    str | None,
    Param("What it is fitted on. [default: what the model was trained on: train to learn from, val for a threshold]",
          form="DATA", needs="fits"),
]  # fmt: skip

FitLimit = Annotated[int | None, Param("Fit on N images: the first of every class, in its share.", low=1, form="N", needs="fits")]
FitEpochs = Annotated[
    int | None, Param("Passes over the images. [default: 3 to 40 by their number]", low=1, form="N", needs="learns")
]
FitRate = Annotated[float | None, Param("Learning rate. [default: 0.002]", low=0, high=1000, needs="learns")]
Opponents = Annotated[
    tuple[str, ...],
    Param("An attack to learn from, such as fgsm:eps=0.2; may be repeated. [default: fgsm]", form="ATTACK", needs="learns"),
]
FitDir = Annotated[
    str | None, Param("Folder of downloaded data sets. [default: ADVCLI_DATA, else the user's cache]", form="DIR", needs="fits")
]
FitSome = Annotated[
    int | None,
    Param("Fit on N images, every class in its share. [default: substitute 150, universal 2000]", low=1, form="N", needs="fits"),
]

# Words of attacks.
Applied = Annotated[
    str | None, Param("Add the perturbations of a X.universal.h5 instead of running a method.", form="FILE", needs="images")
]
StandInAttack = Annotated[
    str, Param("What the substitute is attacked with, within --eps: pgd:steps=10,step_size=0.05.", form="ATTACK:NAME=VALUE,...")
]
StandInArch = Annotated[
    str, Param("Architecture of the substitute, with its options: mlp:hidden=200,200.", form="ARCH:NAME=VALUE,...")
]
Init = Annotated[
    Literal["noise", "grey", "black", "white"], Param("What the images start from: noise, or a plain colour.", needs="start")
]
Count = Annotated[int, Param("Images of every class that is wanted.", low=1, form="N", needs="start")]
Eps = Annotated[
    str | None,
    Param("Budgets: 0.3, 8/255, a list, or a sweep 0:0.3:0.025. [default grey / colour: linf 0.3 / 8/255, "
          "l2 2.0 / 0.5, l1 20 / 12]", form="SWEEP", needs="budget"),
]  # fmt: skip
Target = Annotated[
    str | None,
    Param("Class to reach: a number, a name, or random, next, least-likely, other (every other), all.",
          form="CLASS", needs="targeted"),
]  # fmt: skip
Label = Annotated[
    Literal["true", "pred"],
    Param("Class to leave: the true one, or the model's own prediction (where the model is right, the same; images "
          "that it has wrong are left alone).", needs="untargeted"),
]  # fmt: skip
Restarts = Annotated[int, Param("Fresh random starts; the best attempt is kept.", low=1, needs="random")]
EarlyStop = Annotated[
    bool, Param("Leave an image alone once it is adversarial, or spend the full strength on it.", needs="stops")
]
MaxQueries = Annotated[
    int | None, Param("Queries that an image may cost, for each budget and target.", low=1, form="N", needs="queries")
]
Static = Annotated[bool, Param("Attack the model under its defenses: a static attack, not an adaptive one.")]
Eot = Annotated[
    int | None,
    Param("Draws averaged for one gradient of a random defense. [default: 8 where the model draws]", low=1, form="N"),
]
Quantize = Annotated[bool, Param("Round to 8-bit pixels inside the budget; the image survives a PNG.")]
Rounding = Annotated[
    Literal["nearest", "trunc"], Param("With --quantize: the nearest byte, or the perturbation cut to whole bytes.")
]
Perturbations = Annotated[bool, Param("Also write the perturbations, to perturbations.h5 or beside the -o name.")]
Norm = Annotated[Literal["linf", "l2", "l1"], Param("Norm of the budget.")]
OneEps = Annotated[
    str | None,
    Param("Budget: 0.3, 8/255. [default grey / colour: linf 0.3 / 8/255, l2 2.0 / 0.5, l1 20 / 12]",
          form="BUDGET", needs="budget"),
]  # fmt: skip
Against = Annotated[
    str, Param("The attack inside training, with its options: pgd:eps=0.3,steps=10,step_size=0.05.", form="ATTACK:NAME=VALUE,...")
]
Steps = Annotated[int, Param("Gradient steps.", low=1)]
StepSize = Annotated[str, Param("Length of a step: 0.01, 2/255, eps/10, 2.5*eps/steps.", form="LENGTH")]
OwnChecks = Annotated[
    tuple[str, ...],
    Param("A trust check of your own beside those that are always run: package.module:function; may be repeated.", form="NAME"),
]
Objective = Annotated[
    Literal["xent", "logit", "prob", "margin", "dlr"],
    Param(
        "What to climb: cross-entropy, the class score, its probability, the score gap to the rival, or that gap over the "
        "spread of the scores."
    ),
]

# Words of recipes.
Temperature = Annotated[float, Param("What the logits are divided by in training, and in training only.", low=0.001)]
