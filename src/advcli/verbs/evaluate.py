"""`evaluate`: makes a table from models and image sets. Every figure is recomputed from the stored bytes."""

import contextlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.requests import EvaluateRequest
from advcli.errors import AdvcliError, CommandError, InputError
from advcli.evaluation import noise_votes, proofs, report_table
from advcli.evaluation.claims import Verdict, bar, verdict
from advcli.evaluation.comparison import comparisons
from advcli.evaluation.judge import Facts, Judge
from advcli.evaluation.rows import Row, flat
from advcli.evaluation.sets import Subject, check_fit, from_data, from_file, without_perturbations
from advcli.evaluation.trust import Checked, compared, marked, stored
from advcli.evaluation.within import budgets_at, is_minimal, within
from advcli.evaluation.within import check as check_eps
from advcli.evaluation.worst_case import Standing, Worst, standing
from advcli.files.imageset_reader import ImageSet
from advcli.images.dataset import missing_classes
from advcli.networks.model_file import ModelFile, read
from advcli.runtime.reporter import SILENT, OnceReporter, Reporter
from advcli.workspace import inputs, table_file
from advcli.workspace.held import NOTHING, Held
from advcli.workspace.unfiltered import unfiltered

SPECIAL = {"score": "a model with a reject option", "filter": "an attacked set that was filtered (advcli defend FILE)"}
CHOOSING = ("classes", "limit", "per_class", "part", "image_size", "resize", "data_dir", "split")  # from --data


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """The table: one row for every model, set, budget and metric."""

    rows: list[Row]
    checks: list[Checked] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    strict: bool = False
    wide: bool = False

    @property
    def failures(self) -> list[str]:
        """The reasons for exit code 1."""
        reasons = [one.reason for one in self.verdicts if not one.passed]
        failed = dict.fromkeys(one.label for one in self.checks if one.result.status == "FAIL")
        return [*reasons, f"--strict: {', '.join(failed)}"] if self.strict and failed else reasons

    @property
    def passed(self) -> bool:
        return not self.failures

    def __repr__(self) -> str:
        """The rows, and the trust checks that are not satisfied, line by line."""
        doubts = [f"{one.label}: {one.set}: {one.result.found}" for one in self.checks if one.result.status != "PASS"]
        return "\n".join([*map(str, self.rows), *doubts])

    def records(self) -> list[dict[str, Any]]:
        """One flat dictionary for each row, with its interval and its threat model."""
        return [flat(one.document()) for one in self.rows]

    def to_frame(self) -> Any:
        """The rows as a frame of pandas, which is no dependency of advcli."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise AdvcliError("to_frame needs pandas: pip install pandas; records() gives the same rows without it") from None
        return pandas.DataFrame(self.records())

    def document(self) -> dict[str, Any]:
        return {
            "rows": [one.document() for one in self.rows],
            "checks": [one.document() for one in self.checks],
            "verdicts": [one.document() for one in self.verdicts],
            "passed": self.passed,
        }


def evaluate(asked: EvaluateRequest, own: dict[str, object], reporter: Reporter = SILENT, *, held: Held = NOTHING) -> Report:
    """Measure models on clean and adversarial images, in files or in memory."""
    table = asked.output and table_file.free_path(asked.output, (*asked.files, *asked.model, asked.data), force=asked.force)
    report = _measured(asked, own, reporter, held)
    if table:
        lines, notes = report_table.lines(report.rows), report_table.notes(report.rows)
        table_file.write(Path(table), report.records(), lines, notes, force=asked.force)
    return report


def _measured(asked: EvaluateRequest, own: dict[str, object], reporter: Reporter, held: Held) -> Report:
    """The figures of every model on every set."""
    discovery.allow(asked.allow)
    reporter = OnceReporter(reporter)
    bars = [bar(text) for text in asked.fail_under]
    metrics = chosen(asked.metric, own)
    if any(one.metric == "accuracy" for one in bars) and not any(one.spec.name == "accuracy" for one in metrics):
        raise CommandError("--fail-under accuracy: needs --metric accuracy among the metrics")
    models = [
        held.model(name, asked, asked.files, asked.device) or read(name) for name in dict.fromkeys(asked.model)
    ] or _default_models(reporter)
    if asked.compare and len(models) < 2:
        raise CommandError("--compare: needs two models; give --model twice, first the one to compare with")
    rows: list[Row] = []
    checks: list[Checked] = []
    standings: list[Standing] = []
    needs = {need for one in metrics for need in one.spec.traits.needs}
    silent = metrics if asked.metric else []
    with contextlib.ExitStack() as open_files:
        clean, sets = _subjects(asked, open_files, held, reporter)
        files = [one.file for one in sets if one.file]
        facts = Facts(models, asked, unfiltered(files, open_files, reporter) if "filter" in needs else {})
        if not proofs.needs_bounds(metrics):
            check_eps(asked.eps, sets)
        for one in models:
            judge = Judge(one, asked)
            noise_votes.check(metrics, one, judge.module)
            if proofs.needs_bounds(metrics):
                judge.graph  # noqa: B018  # refused before anything is judged
            for subject in as_asked([*clean(one), *sets], asked.pixels):
                check_fit(subject, one)
                if few := missing_classes(subject.name, subject.labels, subject.header["classes"], one.classes):
                    reporter.warn(few)
                checks += stored(subject, str(one.path))
                for seen in judge.see(subject, needs, facts, reporter):
                    rows += seen.rows(metrics)
                    silent = [bound for bound in silent if not seen.applies(bound)]
                    standings.append(standing(seen))
                    if is_minimal(subject):
                        for near in within(seen, budgets_at(subject, sets, asked.eps), facts.sizes(subject)):
                            rows += near.rows([bound for bound in metrics if bound.spec.traits.default])
                            standings.append(standing(near))
    for name in dict.fromkeys(one.set for one in standings if not one.of_images):
        reporter.warn(f"{name}: pixels outside [0, 1]: not in the worst case, the checks over sets, --compare and --fail-under")
    standings = [one for one in standings if one.of_images]
    checks += compared(standings, asked.check)
    rows, standings = marked(rows, checks), marked(standings, checks)
    worst = Worst(standings, both=asked.pixels == "both")
    for bound in silent:
        of = "clean images" if bound.spec.traits.of == "clean" else "an adversarial set"
        what = next((words for need, words in SPECIAL.items() if need in bound.spec.traits.needs), of)
        reporter.warn(f"metric {bound.spec.name} needs {what}; none was given")
    claimed = any(one.metric == "robust_accuracy" for one in bars)
    if claimed or any(bound.spec.name == "accuracy" for bound in metrics):
        rows += worst.rows(asked=claimed)
    if asked.compare:
        found = comparisons([*standings, *(one for one, _ in worst.standings())], str(models[0].path))
        if not found:
            reporter.warn("--compare: the models have no image in common; give both the same --data or files")
        rows += found
    verdicts = [verdict(one, rows, standings, asked.bar) for one in bars]
    for told in dict.fromkeys(one.note for one in verdicts if one.note):
        reporter.warn(told)
    return Report(rows, checks, verdicts, strict=asked.strict, wide=asked.wide)


def as_asked(subjects: list[Subject], pixels: str) -> list[Subject]:
    """The sets as stored, rounded to 8 bits, or both if the two differ."""
    if pixels == "stored":
        return subjects
    rounded = [one.in_8_bit() for one in subjects]
    if pixels == "8-bit":
        return rounded
    pairs = zip(subjects, rounded, strict=True)
    return [each for one, other in pairs for each in ((one,) if other is one else (one, other))]


def chosen(names: tuple[str, ...], options: dict[str, object]) -> list[Bound]:
    """The requested metrics, or the default ones, with their options."""
    default = (one.name for one in discovery.specs("metric") if one.traits.default)
    return discovery.chosen("evaluate", "metric", names or default, options)


def _default_models(reporter: Reporter) -> list[ModelFile]:
    there = [name for name in (inputs.MODEL, inputs.DEFENDED) if Path(name).exists()]
    if not there:
        raise InputError(f"no {inputs.MODEL} or {inputs.DEFENDED} here; give --model, or make one with: advcli train")
    reporter.note(f"models: {', '.join(there)}")
    return [read(name) for name in there]


def _subjects(
    asked: EvaluateRequest, files: contextlib.ExitStack, held: Held, reporter: Reporter
) -> tuple[Callable[[ModelFile], list[Subject]], list[Subject]]:
    """The clean data (which depends on the model) and the files; a FILE or --data replaces all default sets."""
    names = list(dict.fromkeys(asked.files))
    default = not names and asked.data is None
    if default and Path(inputs.ADVERSARIAL).exists():
        names = [inputs.ADVERSARIAL]
        reporter.note(f"sets: the clean test split, {inputs.ADVERSARIAL}")
    chosen = [name for name in CHOOSING if getattr(asked, name) is not None]
    if asked.files and chosen and asked.data is None:
        raise CommandError(f"--{chosen[0].replace('_', '-')} chooses from --data, not from a file")
    opened: dict[str, ImageSet] = {
        name: held.sets[name] if name in held.sets else files.enter_context(ImageSet(name)) for name in names
    }
    opened = without_perturbations(opened, others=asked.data is not None, reporter=reporter)
    splits = {one.header["split"] for one in opened.values()}
    sets = [from_file(one, name) for name, one in opened.items()]

    def clean(model: ModelFile) -> list[Subject]:
        if not default and asked.data is None:
            return []
        found = held.data_of(model, asked, reporter)
        splits.add(found.split)
        if found.split == "train":
            reporter.warn(f"{found.name}: these are training images; figures on them say little about new images")
        if len(splits) > 1:
            raise InputError(f"the sets come from different splits ({', '.join(sorted(splits))}); evaluate them separately")
        return [from_data(found)]

    if len(splits) > 1:
        raise InputError(f"the files come from different splits ({', '.join(sorted(splits))}); evaluate them separately")
    return clean, sets
