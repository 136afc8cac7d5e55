"""What the tests share: a command runner, a trained digit model, and a half-space on which the truth is known."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: several workers share two cores

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("ADVCLI_CACHE", tempfile.mkdtemp(prefix="advcli-cache-"))  # no test writes to the user's own

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.requests import AttackRequest
from advcli.cli.app import main
from advcli.crafting import substitute, universal
from advcli.images.dataset import Dataset
from advcli.numerics.quantities import budgets
from advcli.numerics.rng import SampleRNG
from advcli.runtime.reporter import SILENT
from advcli.search.batch import craft
from advcli.search.cascade import stages_of
from advcli.search.job import UNBOUNDED, Job
from judged_files import drawn, evaluated, judged, judged_folder, unlabelled  # noqa: F401  # fixtures


@dataclass(frozen=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same draws of torch's own generator."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test finds the modules that it wrote itself, and none of that name that another test has left."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(tempfile.gettempdir() + os.sep + "pytest-"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as where nobody states a width: test runners export that of their own terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run one command line in this process."""

    def call(*args: object) -> Ran:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        seen = capsys.readouterr()
        return Ran(code, seen.out, seen.err)

    return call


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small default model, trained once."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    assert main(["train", "--epochs", "12", "--quiet", "-o", str(path)]) == 0
    return path


@pytest.fixture
def model(folder: Path, small_model: Path) -> Path:
    """A copy of it in the folder that the test stands in."""
    return Path(shutil.copy(small_model, folder / "model.safetensors"))


class Halfspace(nn.Module):
    """Two classes split by a plane: the distance to it is known in every norm."""

    def __init__(self, size: int = 12) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-1, 1, size) + 0.1)

    def forward(self, x: Tensor, draws: SampleRNG | None = None) -> Tensor:
        score = (x.flatten(1) - 0.5) @ self.w
        return torch.stack([-score, score], dim=1)

    def distance(self, x: Tensor, norm: str) -> Tensor:
        dual = {"linf": 1, "l2": 2, "l1": torch.inf}[norm]
        return ((x.flatten(1) - 0.5) @ self.w).abs().detach() / self.w.norm(dual).detach()


def in_memory(x: Tensor, labels: Tensor, classes: int) -> Dataset:
    """Tensors as a data set."""
    return Dataset(
        name="tensors",
        split="test",
        classes=tuple(map(str, range(classes))),
        shape=tuple(x.shape[1:]),  # type: ignore[arg-type]
        labels=labels.numpy(),
        index=np.arange(len(x)),
        read=lambda places: x[torch.from_numpy(places)],
        origin={"name": "tensors", "split": "test"},
    )


def attacked(
    method: str,
    model: nn.Module,
    x: Tensor,
    labels: Tensor,
    eps: str = "0.3",
    *,
    options: dict | None = None,
    batch: int = 0,
    **job: object,
) -> dict[str, np.ndarray]:
    """The columns that an attack makes of some tensors, through the same path as the command."""
    bound = discovery.spec("attack", method).bind(options or {})
    norm = str(bound.parameters.get("norm", bound.spec.traits.norms[0]))
    with torch.no_grad():
        classes = model(x[:1], SampleRNG(0, torch.zeros(1, dtype=torch.int64))).shape[1] if len(x) else 2
    settings = {"target": None, "label": "true", "seed": 0, "device": torch.device("cpu"), **job}
    wanted = budgets(eps) if bound.spec.traits.budgeted else (UNBOUNDED,)
    if bound.spec.traits.targeted == "only" and settings["target"] is None:
        settings["target"] = "next" if bound.spec.traits.has("images") else "all"
    if not bound.spec.traits.has("images"):
        labels = torch.full_like(labels, -1)
    whole, data = Job(model.eval(), bound, norm, wanted, **settings), in_memory(x, labels, classes)
    if bound.spec.traits.has("stages"):
        whole = replace(whole, stages=stages_of(bound, classes, random=bool(settings.get("random_model"))))
    if bound.spec.traits.has("fits"):
        whole = grounded(whole, bound, data) if len(x) else replace(whole, shared=torch.zeros(len(wanted), *x.shape[1:]))
    step = batch or max(1, len(x))
    made = [craft(whole, data, start, min(start + step, len(x))) for start in range(0, max(1, len(x)), step)]
    return {name: np.concatenate([one[name] for one in made]) for name in made[0]}


def grounded(job: Job, method: Bound, data: Dataset) -> Job:
    """The job on what its method lays first, here with the very images that are attacked."""
    if method.spec.traits.kind == "universal":
        return replace(
            job, shared=torch.cat([universal.fit_perturbation(method, job, data, k)[0] for k in range(len(job.budgets))])
        )
    job = replace(job, method=substitute.inner_attack(method, AttackRequest(target=job.target)), early_stop=False)
    training = substitute.train_substitute(method, substitute.network_of(method), job, data, None, SILENT)
    return replace(job, substitute=training.substitute)


def near_the_plane(count: int = 6) -> Tensor:
    """Grey pictures close to the plane, far from black and white."""
    return 0.5 + 0.05 * torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def halfspace() -> Halfspace:
    return Halfspace().eval().requires_grad_(False)
