"""`audit`: a model in; how robust it is, from both sides, and how far the answer may be trusted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.auditing.curve import curve_files
from advcli.auditing.findings import Findings, conclusions, figure, not_tried
from advcli.auditing.plan import EFFORTS, Step, Subject, command_line
from advcli.auditing.structure import structure_in
from advcli.catalog import discovery
from advcli.catalog.requests import AttackRequest, AuditRequest, EvaluateRequest
from advcli.errors import CommandError, InputError, NoGradient
from advcli.evaluation.rows import Row
from advcli.files import atomic
from advcli.files.imageset_reader import content_digest
from advcli.networks.model_file import ModelFile
from advcli.numerics.quantities import budget, refuse_beyond
from advcli.runtime.estimate import Estimate
from advcli.runtime.reporter import SILENT, OnceReporter, Reporter
from advcli.verbs.attack import attack
from advcli.verbs.default_model import open_model
from advcli.verbs.evaluate import Report, evaluate
from advcli.workspace import inputs

FORMAT = "advcli/audit/1"


@dataclass(frozen=True, slots=True)
class Audit:
    """The answer, as audit.json has it."""

    folder: Path
    found: dict[str, Any]
    failures: list[str]

    @property
    def passed(self) -> bool:
        """True if every bar of --fail-under is reached, and with --strict no check fails."""
        return not self.failures

    def document(self) -> dict[str, Any]:
        """The content of audit.json."""
        return self.found


def audit(asked: AuditRequest, reporter: Reporter = SILENT) -> Audit | Estimate:
    """Say how robust a model is, from both sides, and how far the answer may be trusted."""
    discovery.allow(asked.allow)
    reporter = OnceReporter(reporter)
    model = open_model(asked.model, reporter, dry_run=asked.dry_run)
    folder = _folder(asked, model)
    subject = _subject(model, asked, reporter)
    if asked.dry_run:
        return _estimate(subject, folder, reporter)
    atomic.make_folder(folder)
    done, gradients = _attacks(subject, folder, reporter)
    proofs = _proofs(subject, reporter)
    report = _evaluated(subject, folder, done, reporter)
    found = _findings(subject, folder, done, report, proofs)
    if gradients and found.suspicious:
        reporter.warn("the checks are not satisfied: attacking without gradients, and for longer")
        done += _run(subject.without_gradients(), folder, asked, reporter)
        report = _evaluated(subject, folder, done, reporter)
        found = _findings(subject, folder, done, report, proofs)
    document = _document(subject, model, folder, done, report, found, gradients=gradients)
    points = found.curve(subject.budgets)
    files = curve_files(points, asked.norm, found.clean, found.proofs)
    for name, data in {**files, "audit.json": json.dumps(document, indent=1).encode() + b"\n"}.items():
        atomic.write(folder / name, [data])
    return Audit(folder, document, report.failures)


def _folder(asked: AuditRequest, model: ModelFile) -> Path:
    """The folder of the result, beside the model; what no audit makes is never replaced."""
    folder = Path(asked.output or Path(model.path).with_suffix(".audit"))
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"{folder}: is a file; name a folder with -o")
    known = {"audit.json", "curve.png", "curve.csv"}
    there = {one.name for one in folder.iterdir() if not one.name.startswith(".")} if folder.is_dir() else set()
    strange = sorted(name for name in there - known if ".h5" not in name and not name.endswith(".safetensors"))
    if strange and not asked.force:
        raise CommandError(f"{folder}: holds {strange[0]}, which no audit makes; use -o to choose another folder")
    return folder


def _subject(model: ModelFile, asked: AuditRequest, reporter: Reporter) -> Subject:
    """The model and its images; the effort's number of them where nothing else says how many."""
    text, chosen = (asked.data, asked) if asked.data else inputs.default_data(model, asked)
    images = inputs.data_of(model, text, asked.split, chosen, reporter=reporter)
    most = EFFORTS[asked.effort].images
    limit = most if asked.limit is None and asked.per_class is None and most and most < len(images) else None
    count, scores = limit or len(images), model.answers != "labels"
    found = Subject(str(model.path), text, images.shape, asked, count, limit, scores, structure_in(model, images))
    refuse_beyond(asked.norm, [budget(found.eps)], images.shape[0] * images.shape[1] * images.shape[2])
    return found


def _attacks(subject: Subject, folder: Path, reporter: Reporter) -> tuple[list[Step], bool]:
    """Run the attacks; the steps that were done, and whether the model gives gradients."""
    try:
        return _run(subject.steps(gradients=True), folder, subject.asked, reporter), True
    except NoGradient as error:
        reporter.warn(str(error).splitlines()[0].rstrip(";"))
        return _run(subject.steps(gradients=False), folder, subject.asked, reporter), False


def _run(steps: Sequence[Step], folder: Path, asked: AuditRequest, reporter: Reporter) -> list[Step]:
    """Each step by the verb `attack`, into its own file; what is there already is kept."""
    for number, step in enumerate(steps, 1):
        reporter.note(f"[{number}/{len(steps)}] {step.name}: {step.question}")
        request, own = AttackRequest.read("attack", {**step.given, "output": str(_file(folder, step)), "force": asked.force})
        attack(request, own, reporter, replaces=asked.output is None)
    return list(steps)


def _file(folder: Path, step: Step) -> Path:
    return folder / f"{step.name}.h5"


def _evaluated(subject: Subject, folder: Path, done: Sequence[Step], reporter: Reporter) -> Report:
    """All sets together, by the verb `evaluate`."""
    return evaluate(*EvaluateRequest.read("evaluate", _evaluation(subject, folder, done)), reporter)


def _evaluation(subject: Subject, folder: Path, done: Sequence[Step]) -> dict[str, object]:
    """The options of `evaluate` that give every figure of the audit."""
    asked = subject.asked
    given = {**subject.selection, "files": [str(_file(folder, one)) for one in done], "model": [subject.model]}
    if any("eps" not in one.given for one in done):
        given["eps"] = ",".join(subject.budgets)
    bars = tuple(one.replace("robust_accuracy=", f"robust_accuracy@{subject.eps}=") for one in asked.fail_under)
    kept = {"fail_under": bars, "bar": asked.bar, "strict": asked.strict, "check": asked.check}
    return given | {name: value for name, value in kept.items() if value not in ((), False, "low")}


def _proofs(subject: Subject, reporter: Reporter) -> tuple[list[Row], str]:
    """The rows of the metric verified, or why there can be none for this model."""
    try:
        asked = EvaluateRequest.read("evaluate", {**subject.proofs(), "model": [subject.model]})
        return evaluate(*asked, reporter).rows, ""
    except InputError as error:
        return [], str(error).splitlines()[0]


def _findings(subject: Subject, folder: Path, done: Sequence[Step], report: Report, proofs: tuple[list[Row], str]) -> Findings:
    names = {str(_file(folder, one)): one.name for one in done}
    rows, unproved = proofs
    return Findings([*report.rows, *rows], report.checks, subject.asked.norm, subject.eps, names, unproved)


def _document(
    subject: Subject, model: ModelFile, folder: Path, done: Sequence[Step], report: Report, found: Findings, *, gradients: bool
) -> dict[str, Any]:
    """The content of audit.json."""
    asked, given = subject.asked, _evaluation(subject, folder, done)
    files = tuple(str(one) for one in given.pop("files"))  # type: ignore[attr-defined]  # a list of names
    return {
        "format": FORMAT,
        "model": {"file": subject.model, "digest": model.digest},
        "data": subject.data,
        "images": found.attacked.n if found.attacked else 0,
        "norm": asked.norm,
        "epsilon": subject.eps,
        "effort": asked.effort,
        "gradients": gradients,
        "clean_accuracy": figure(found.clean),
        "robust_accuracy": {"attacked": figure(found.attacked), "proved": figure(found.proved)},
        "attacks": [
            {"step": name, "attack": row.threat.attack, "access": row.threat.access, "accuracy": figure(row)}
            for name, row in found.each
        ],
        "broken_by": [{"stage": row.about["stage"], **(figure(row) or {})} for row in found.broken_by],
        "curve": [{"epsilon": eps, **(figure(row) or {}), "sets": row.set} for eps, row in found.curve(subject.budgets)],
        "proofs": [{"epsilon": row.threat.epsilon, **(figure(row) or {})} for row in found.proofs],
        "unproved": found.unproved,
        "checks": [one.document() for one in report.checks],
        "verdicts": [one.document() for one in report.verdicts],
        "passed": report.passed,
        "conclusions": conclusions(found, gradients=gradients),
        "not_tried": not_tried(asked.norm),
        "steps": [
            {
                "step": one.name,
                "question": one.question,
                "command": command_line("attack", {**one.given, "output": str(_file(folder, one))}),
                "digest": content_digest(_file(folder, one)),
            }
            for one in done
        ],
        "commands": [
            command_line("evaluate", given, files),
            command_line("evaluate", {**subject.proofs(), "model": subject.model}),
        ],
    }


def _estimate(subject: Subject, folder: Path, reporter: Reporter) -> Estimate:
    """The sum over the attacks; evaluation takes little beside them."""
    rows = size = 0
    seconds, at_least = 0.0, False
    for step in subject.steps(gradients=True):
        given = {**step.given, "output": str(_file(folder, step)), "dry_run": True}
        found = attack(*AttackRequest.read("attack", given), reporter)
        assert isinstance(found, Estimate)  # of a dry run
        rows, size, seconds = rows + found.rows, size + found.bytes, seconds + found.seconds
        at_least |= found.at_least
    return Estimate(rows, size, seconds, at_least)
