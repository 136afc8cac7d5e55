"""Our side: what a cell means in the words of `advcli attack`, run through the same path as the command."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.catalog.requests import AttackRequest
from advcli.crafting import resolve
from advcli.networks.memory_format import optimize_for
from advcli.runtime import devices
from advcli.runtime.reporter import SILENT
from advcli.search.batch import craft
from benchmarks.cells import Cell
from benchmarks.subject import Subject


@dataclass(frozen=True)
class Command:
    """`advcli attack --method NAME OPTIONS`."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)


def fgsm(*, eps: str) -> Command:
    return Command("fgsm", given={"eps": eps})


fgsm_sweep = fgsm


def pgd(*, eps: str, steps: int, step_size: str) -> Command:
    return Command("pgd", {"steps": steps, "step_size": step_size}, {"eps": eps})


def mim(*, eps: str, steps: int, step_size: str, decay: float) -> Command:
    return Command("mim", {"steps": steps, "step_size": step_size, "decay": decay}, {"eps": eps})


def apgd(*, eps: str, steps: int, loss: str) -> Command:
    return Command("apgd", {"steps": steps, "objective": {"ce": "xent"}.get(loss, loss)}, {"eps": eps})


def deepfool(*, steps: int, overshoot: float) -> Command:
    return Command("deepfool", {"steps": steps, "overshoot": overshoot})


def cw(*, searches: int, steps: int, lr: float, const: float) -> Command:
    """With its own defaults: it searches for no constant, and needs fewer steps."""
    return Command("cw")


def fab(*, norm: str, steps: int) -> Command:
    return Command("fab", {"norm": norm, "steps": steps})


def jsma(*, theta: float, gamma: float) -> Command:
    return Command("jsma", {"theta": theta, "gamma": gamma})


def autoattack(*, norm: str, eps: str) -> Command:
    return Command("autoattack", {"norm": norm}, {"eps": eps})


def square(*, eps: str, queries: int) -> Command:
    return Command("square", {"steps": queries}, {"eps": eps})


def hopskipjump(*, steps: int, first: int, most: int) -> Command:
    return Command("hopskipjump", {"steps": steps, "evaluations": first})


def boundary(*, steps: int) -> Command:
    return Command("boundary", {"steps": steps})


def spatial(*, shift: int, shifts: int, angle: int, angles: int) -> Command:
    return Command("spatial", {"max_shift": shift, "max_rot": angle, "grid": f"{shifts},{shifts},{angles}"})


def simba(*, norm: str, eps: str, step: float, steps: int) -> Command:
    return Command("simba", {"steps": 2 * steps + 1, "step_size": str(step)}, {"eps": eps})


def spsa(*, eps: str, steps: int, pairs: int, delta: float, lr: float) -> Command:
    return Command("spsa", {"steps": steps, "samples": pairs, "delta": delta, "lr": lr}, {"eps": eps})


def local_search(*, p: float, r: float, d: int, t: int, rounds: int, probes: int) -> Command:
    """More rounds where they have fewer probes: the queries are the same."""
    return Command("local-search", {"p": p, "r": r, "d": d, "t": t}, {"max_queries": rounds * (probes + 1)})


def one_pixel(*, pixels: int, generations: int, population: int) -> Command:
    return Command("one-pixel", {"pixels": pixels, "steps": generations, "population": population})


def command(cell: Cell) -> Command | None:
    """The command line of a cell; None where the method is not there."""
    words = globals().get(cell.method)
    found = words(**{**cell.parameters, **cell.tuned.get("advcli", {})}) if words else None
    return found if found and found.method in discovery.names("attack") else None


def prepare(cell: Cell, subject: Subject, *, half: bool = False) -> tuple[set[nn.Module], Callable[[int, int], Tensor]]:
    """The model that decides and the one that is searched through, and a function that attacks some of the images."""
    said = command(cell)
    assert said
    spec = discovery.spec("attack", said.method)
    chosen = {"early_stop": cell.question != "full"} if spec.has("stops") else {}
    chosen |= {"target": "next"} if cell.target else {}
    chosen |= {"precision": "bfloat16"} if half else {}
    asked, _ = AttackRequest.read("attack", {"method": said.method, "device": "cpu", **chosen, **said.given})
    run = resolve.resolve(subject.file, subject.data, spec.bind(said.options), asked, SILENT)

    loaded = subject.file.module()

    def some(start: int, stop: int) -> Tensor:
        with devices.threads(subject.data.shape):
            if not start:  # what a command does once with the model that it has loaded is part of every run
                model = optimize_for(copy.deepcopy(loaded), run.job.device).requires_grad_(False)
                resolve.search_model(model, run.data, run.job.method, asked, run.job.device)
            rows = craft(run.job, run.data, start, stop)["images"]
        budgets = len(run.job.budgets)
        return torch.from_numpy(rows).view(stop - start, budgets, *subject.data.shape).transpose(0, 1)

    return {run.job.model, run.job.searched}, some
