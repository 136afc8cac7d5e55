"""A substitute model: a network trained on the labels that the model gives, written to a model file, and attacked instead."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advcli.catalog import discovery
from advcli.catalog.registry import Bound
from advcli.catalog.requests import AttackRequest
from advcli.crafting.first_stage import FirstStage, FirstStageKind, provenance_of_fit
from advcli.crafting.run import Run
from advcli.errors import CommandError
from advcli.files.header import Header
from advcli.files.parts import Parts
from advcli.images.dataset import Dataset
from advcli.networks import architecture, model_file
from advcli.networks.black_box import journaled
from advcli.networks.build import load_weights, with_prefix
from advcli.networks.classifier import Classifier
from advcli.networks.memory_format import optimize_for
from advcli.networks.model_file import ModelFile
from advcli.numerics.rng import Purpose, SampleRNG
from advcli.runtime.reporter import SILENT, Reporter
from advcli.search.job import Job
from advcli.search.victim import Tally, Victim
from advcli.training import scikit_fit
from advcli.training.loop import Trainer
from advcli.training.plan import Plan
from advcli.training.training_options import TrainingOptions

AT_ONCE = 256  # images that are asked about
BATCH = 32  # images of a step: few, for there are few images


def inner_attack(method: Bound, asked: AttackRequest) -> Bound:
    """The attack on the substitute: it must query a model and stay within a budget."""
    text = str(method.parameters["attack"])
    spec, typed = discovery.parse_method("attack", text)
    if not spec.traits.nestable or spec.traits.access == "none":
        raise CommandError(
            f"--attack {text}: expected an attack that queries a model and has a budget, for any model; {spec.name} does not"
        )
    if bool(asked.target) > bool(spec.traits.targeted) or (not asked.target and spec.traits.targeted == "only"):
        raise CommandError(f"--attack {text}: {spec.name} {'does not support' if asked.target else 'needs a'} --target")
    return spec.bind(typed)


def network_of(method: Bound) -> Bound:
    """The architecture of the substitute."""
    spec, typed = discovery.parse_method("architecture", str(method.parameters["arch"]))
    if not spec.traits.differentiable:
        reason = "no gradient leads from its answers to the image, and by gradients new images are made and attacked"
        raise CommandError(f"--arch {spec.name}: {reason}")
    epochs = method.spec.option("epochs")
    if spec.traits.fitted and epochs and method.parameters["epochs"] != epochs.default:
        raise CommandError(f"{spec.name} has no option --epochs: scikit-learn fits it")
    return spec.bind(typed)


def first_stage(path: Path, oracle: ModelFile, method: Bound, run: Run, seeds: Dataset, asked: AttackRequest) -> FirstStage:
    """The substitute's file, its training, and the job that attacks it."""
    own = {name: value for name, value in method.parameters.items() if name != "attack"}
    made, network = provenance_of_fit(method.spec.name, own, {"eot": asked.eot}, oracle, seeds, asked), network_of(method)
    return FirstStage(
        path,
        made,
        fit=partial(fit_file, path, made, method, network, run.job, seeds),
        attach=partial(use_substitute, path),
        placeholder=lambda job: replace(job, substitute=new_substitute(network, seeds, job).requires_grad_(False)),
    )


def use_substitute(path: Path, job: Job) -> tuple[Job, Header]:
    """The same job with the substitute as the attacked model; the model itself is not queried again."""
    found = model_file.read(path)
    source = {"digest": found.digest, "network": found.network, "defenses": found.defenses, "static": False}
    module = optimize_for(found.module(), job.device).requires_grad_(False)
    return replace(job, substitute=module), {"source": source, "fitted": found.metadata["fitted"]}


def fit_file(path: Path, made: Header, method: Bound, network: Bound, job: Job, seeds: Dataset, reporter: Reporter) -> None:
    """Train a substitute, or resume after the last finished round, and publish it."""
    parts = Parts.of(path)
    parts.begin(made, reporter)
    with journaled(job.model, parts):
        training = train_substitute(method, network, job, seeds, parts, reporter)
    cost = {"images": len(seeds), "queries": int(training.tally.queries), "gradients": 0}
    metadata = {
        "format": "advcli/model/1",
        "arch": {"name": network.spec.name, "parameters": network.parameters},
        "input": list(seeds.shape),
        "classes": list(seeds.classes),
        "normalize": {"mean": [0.0] * seeds.shape[0], "std": [1.0] * seeds.shape[0]},
        "defenses": [],
        "figures": {},
        "fitted": cost,
        "data": seeds.origin,
        "made": made,
    }
    model_file.write(path, metadata, training.substitute.network.state_dict())
    reporter.note(f"{path}: trained on {cost['queries']} labels from the model")


def train_substitute(
    method: Bound, network: Bound, job: Job, seeds: Dataset, parts: Parts | None, reporter: Reporter
) -> "SubstituteTraining":
    """Train the substitute through all rounds."""
    training = SubstituteTraining(network, job, seeds, parts, reporter)
    x, ids = seeds.pictures(0, len(seeds)).to(job.device), torch.from_numpy(seeds.index).to(job.device)
    method(training.ask, x, training.teach, rng=SampleRNG(job.seed, ids, (Purpose.SUBSTITUTE,)))
    return training


def new_substitute(network: Bound, seeds: Dataset, job: Job) -> Classifier:
    """The untrained substitute; its initial weights differ from those of `train` with the same seed."""
    own = SampleRNG(job.seed, torch.zeros(1, dtype=torch.int64), (Purpose.SUBSTITUTE,))
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(int(own.bits(1)))
        net = architecture.network(network, seeds.shape, len(seeds.classes))
    mean, std = [0.0] * seeds.shape[0], [1.0] * seeds.shape[0]
    return Classifier(net, mean, std, shape=seeds.shape, classes=len(seeds.classes)).to(job.device).eval()


class SubstituteTraining:
    """The training of a substitute on the model's decisions, which are counted."""

    def __init__(self, network: Bound, job: Job, seeds: Dataset, parts: Parts | None, reporter: Reporter) -> None:
        self.network, self.job, self.seeds, self.parts, self.reporter = network, job, seeds, parts, reporter
        self.tally, self.asked = Tally(1), 0
        self.substitute = new_substitute(network, seeds, job)
        self.rounds: list[dict[str, Tensor]] = []
        self.finished = _finished(parts) if parts else []

    def ask(self, x: Tensor) -> Tensor:
        """The model's decisions on some images; a random defense draws new numbers for each."""
        found = []
        for piece in x.chunk(-(-len(x) // AT_ONCE)):
            ids = torch.arange(self.asked, self.asked + len(piece), device=x.device)
            draws = SampleRNG(self.job.seed, ids, (Purpose.ASKED,)) if self.job.random_model else None
            nobody = torch.zeros(len(piece), dtype=torch.int64)
            model = Victim(self.job.model, self.tally, nobody, draws, self.job.eot, rejects=self.job.rejects)
            found.append(model.label(piece))
            self.asked += len(piece)
        return torch.cat(found)

    def teach(self, x: Tensor, label: Tensor, epochs: int) -> Victim:
        """One more round of the training loop, or its stored result if this command was interrupted after it."""
        number = len(self.rounds)
        if number < len(self.finished):
            load_weights(self.substitute, with_prefix(self.finished[number], "network."), f"round {number + 1}")
        else:
            self.reporter.note(f"substitute: round {number + 1}, {len(x)} images")
            self._learn(self._plan(x, label, epochs))
        self.substitute.eval().requires_grad_(False)
        self.rounds.append({name: tensor.detach().clone() for name, tensor in self.substitute.state_dict().items()})
        if self.parts and number >= len(self.finished):
            arrays = {f"{k}/{n}": t.cpu().numpy() for k, one in enumerate(self.rounds) for n, t in one.items()}
            self.parts.save(0, number + 1, arrays)
            self.parts.keep_only(number + 1)
        return Victim(self.substitute, Tally(len(x)), torch.arange(len(x)), None)

    def _learn(self, plan: Plan) -> None:
        """By the training loop, or by scikit-learn, which fits all images of the round from scratch."""
        if scikit_fit.is_fitted(plan):
            scikit_fit.fit(plan, self.network.spec.name, lambda log: None, SILENT)
        else:
            Trainer(plan).fit(None, lambda log: None, SILENT)

    def _plan(self, x: Tensor, label: Tensor, epochs: int) -> Plan:
        """The plan for the training loop: the images, their labels, and the defaults of `train`."""
        pixels, self.substitute = x.cpu(), self.substitute.requires_grad_(True)
        images = Dataset(
            name="answers",
            split="train",
            classes=self.seeds.classes,
            shape=self.seeds.shape,
            labels=label.cpu().numpy(),
            index=np.arange(len(x)),
            read=lambda places: pixels[torch.from_numpy(places)],
            origin={"name": "tensors", "split": "train"},
            pixels=pixels,
        )
        recipe = discovery.spec("recipe", "standard")
        options = TrainingOptions(epochs=epochs, batch_size=BATCH, seed=self.job.seed)
        loss = partial(recipe.load(), **recipe.bind({}).parameters)
        return Plan(images, None, loss, recipe.given, self.substitute, [], options, self.job.device)


def _finished(parts: Parts) -> list[dict[str, Tensor]]:
    """The weights after every finished round."""
    found = parts.latest()
    rounds: list[dict[str, Tensor]] = [{} for _ in range(found[0] if found else 0)]
    for name, array in (found[1] if found else {}).items():
        number, _, rest = name.partition("/")
        rounds[int(number)][rest] = torch.from_numpy(array)
    return rounds


STAGE = FirstStageKind(".substitute.safetensors", images=150, plan=first_stage, acting=inner_attack)
