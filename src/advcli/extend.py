"""Everything that a method of your own needs, from one import.

    from advcli.extend import Goal, Param, SampleRNG, Victim, attack

These names stay in place when modules move inside the program; CONTRIBUTING.md shows one method of every kind.
"""

from advcli.catalog.kinds import KINDS, Kind
from advcli.catalog.params import Param
from advcli.catalog.registry import architecture, attack, check, defense, figure, metric, recipe, source
from advcli.evaluation.decisions import AttackedVerdicts, Certificate, Figure, Figures, Verdicts, rate
from advcli.evaluation.drawing import Drawing
from advcli.evaluation.judge import Judge
from advcli.evaluation.rows import JudgedSet
from advcli.evaluation.selected_rows import SelectedRows
from advcli.evaluation.worst_case import Standing, apart
from advcli.files.check_results import Result, judged
from advcli.images.dataset import Dataset
from advcli.images.downloads import Library
from advcli.networks.certified import Certified
from advcli.networks.classifier import Dropout
from advcli.networks.filtered import Filtered
from advcli.networks.fitting_batch import FittingBatch, new_network
from advcli.networks.rejection import Rejecting
from advcli.networks.scikit_learn import Fitted
from advcli.numerics.balls import Ball, distance
from advcli.numerics.rng import SampleRNG
from advcli.search.best import Best, take
from advcli.search.goal import Goal
from advcli.search.kinds import closest, deepest, each_budget, searched, searched_within
from advcli.search.observer import Search
from advcli.search.probe import Probe
from advcli.search.procedure import Attempt, Procedure
from advcli.search.victim import Victim

__all__ = [
    "KINDS",
    "AttackedVerdicts",
    "Attempt",
    "Ball",
    "Best",
    "Certificate",
    "Certified",
    "Dataset",
    "Drawing",
    "Dropout",
    "Figure",
    "Figures",
    "Filtered",
    "Fitted",
    "FittingBatch",
    "Goal",
    "Judge",
    "JudgedSet",
    "Kind",
    "Library",
    "Param",
    "Probe",
    "Procedure",
    "Rejecting",
    "Result",
    "SampleRNG",
    "Search",
    "SelectedRows",
    "Standing",
    "Verdicts",
    "Victim",
    "apart",
    "architecture",
    "attack",
    "check",
    "closest",
    "deepest",
    "defense",
    "distance",
    "each_budget",
    "figure",
    "judged",
    "metric",
    "new_network",
    "rate",
    "recipe",
    "searched",
    "searched_within",
    "source",
    "take",
]
