"""Weights under the names of published layouts compute here what those layouts compute: written out from names and shapes."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from advcli.networks import model_file
from advcli.networks.weight_names import normalization

Weights = dict[str, Tensor]
DRAWN = torch.Generator().manual_seed(5)


def conv(name: str, inside: int, outside: int, size: int = 3) -> Iterator[tuple[str, Tensor]]:
    yield f"{name}.weight", torch.randn(outside, inside, size, size, generator=DRAWN) / (inside * size * size) ** 0.5


def norm(name: str, width: int) -> Iterator[tuple[str, Tensor]]:
    for one in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{one}", torch.rand(width, generator=DRAWN) + 0.5
    yield f"{name}.num_batches_tracked", torch.tensor(3)


def line(name: str, inside: int, outside: int) -> Iterator[tuple[str, Tensor]]:
    yield f"{name}.weight", torch.randn(outside, inside, generator=DRAWN)
    yield f"{name}.bias", torch.randn(outside, generator=DRAWN)


def block(name: str, inside: int, outside: int, aside: str, *, before: bool) -> Iterator[tuple[str, Tensor]]:
    """Two convolutions and their norms, and a shortcut where the width changes."""
    yield from norm(f"{name}.bn1", inside if before else outside)
    yield from conv(f"{name}.conv1", inside, outside)
    yield from norm(f"{name}.bn2", outside)
    yield from conv(f"{name}.conv2", outside, outside)
    if inside != outside:
        yield from conv(f"{name}.{aside}", inside, outside, 1)


def wide(depth: int, factor: int, block_name: str = "block") -> Weights:
    sizes = [16, 16 * factor, 32 * factor, 64 * factor]
    found = dict(conv("conv1", 3, 16))
    for stage in range(3):
        for k in range((depth - 4) // 6):
            where = f"{block_name}{stage + 1}.layer.{k}"
            found |= block(where, sizes[stage + (k > 0)], sizes[stage + 1], "convShortcut", before=True)
    return found | dict(norm("bn1", sizes[3])) | dict(line("fc", sizes[3], 5))


def residual(width: int, *, before: bool, last_norm: bool = True) -> Weights:
    sizes = [width, width, 2 * width, 4 * width, 8 * width]
    found = dict(conv("conv1", 3, width)) | ({} if before else dict(norm("bn1", width)))
    for stage in range(4):
        for k in range(2):
            where, inside = f"layer{stage + 1}.{k}", sizes[stage + (k > 0)]
            found |= block(where, inside, sizes[stage + 1], "shortcut.0", before=before)
            if not before and inside != sizes[stage + 1]:
                found |= norm(f"{where}.shortcut.1", sizes[stage + 1])
    return found | (dict(norm("bn", sizes[4])) if before and last_norm else {}) | dict(line("linear", sizes[4], 5))


def mind_block(name: str, inside: int, outside: int, convs: tuple[str, str], aside: int) -> Iterator[tuple[str, Tensor]]:
    """A block as DeepMind's networks name it; `aside` is the size of the shortcut's kernel."""
    for k, (one, size) in enumerate(zip(convs, (inside, outside), strict=True)):
        yield from norm(f"{name}.batchnorm_{k}", size)
        yield from conv(f"{name}.{one}", size, outside)
    if inside != outside:
        yield from conv(f"{name}.shortcut", inside, outside, aside)


def mind_wide(depth: int, factor: int) -> Weights:
    sizes = [16, 16 * factor, 32 * factor, 64 * factor]
    found = dict(conv("init_conv", 3, 16))
    for stage in range(3):
        for k in range((depth - 4) // 6):
            inside = sizes[stage + (k > 0)]
            found |= mind_block(f"layer.{stage}.block.{k}", inside, sizes[stage + 1], ("conv_0", "conv_1"), 1)
    return found | dict(norm("batchnorm", sizes[3])) | dict(line("logits", sizes[3], 10))


def mind_preact(width: int, counts: tuple[int, ...], classes: int = 10) -> Weights:
    sizes = [width, width, 2 * width, 4 * width, 8 * width]
    found = dict(conv("conv_2d", 3, width))
    for stage, count in enumerate(counts):
        for k in range(count):
            inside = sizes[stage + (k > 0)]
            found |= mind_block(f"layer_{stage}.{k}", inside, sizes[stage + 1], ("conv_2d_1", "conv_2d_2"), 3)
    return found | dict(norm("batchnorm", sizes[4])) | dict(line("logits", sizes[4], classes))


CIFAR10 = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]  # what the published code of those networks holds
CIFAR100 = [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]


class Layout:
    """The arithmetic of a published network, by the names of its weights."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = self.weights[f"{name}.weight"]
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (self.weights[f"{name}.{one}"] for one in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, mean, var, weight, bias)

    def end(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x.mean((2, 3)), self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def before(self, x: Tensor, name: str, stride: int, aside: str, *, takes_input: bool = False) -> Tensor:
        ready = self.norm(x, f"{name}.bn1").relu()
        known = f"{name}.{aside}.weight" in self.weights
        other = self.conv(x if takes_input else ready, f"{name}.{aside}", stride) if known else x
        return self.conv(self.norm(self.conv(ready, f"{name}.conv1", stride), f"{name}.bn2").relu(), f"{name}.conv2") + other

    def wide(self, x: Tensor, depth: int) -> Tensor:
        x = self.conv(x, "conv1")
        for stage in (1, 2, 3):
            for k in range((depth - 4) // 6):
                x = self.before(x, f"block{stage}.layer.{k}", 2 if stage > 1 and not k else 1, "convShortcut")
        return self.end(self.norm(x, "bn1").relu(), "fc")

    def preact(self, x: Tensor, *, takes_input: bool = False) -> Tensor:
        x = self.conv(x, "conv1")
        for stage in (1, 2, 3, 4):
            for k in range(2):
                stride = 2 if stage > 1 and not k else 1
                x = self.before(x, f"layer{stage}.{k}", stride, "shortcut.0", takes_input=takes_input)
        return self.end(self.norm(x, "bn").relu() if "bn.weight" in self.weights else x, "linear")

    def valid(self, x: Tensor, name: str, stride: int) -> Tensor:
        """A convolution whose stride of 2 finds zeros on the right and below only."""
        kernel = self.weights[f"{name}.weight"]
        before, size = int(stride == 1 and kernel.shape[2] == 3), kernel.shape[2]
        wide = torch.zeros(*x.shape[:2], x.shape[2] + size - 1, x.shape[3] + size - 1)
        wide[:, :, before : before + x.shape[2], before : before + x.shape[3]] = x
        return functional.conv2d(wide, kernel, stride=stride)

    def swish(self, x: Tensor, name: str) -> Tensor:
        x = self.norm(x, name)
        return x / (1 + (-x).exp())

    def mind(self, x: Tensor, blocks: list[tuple[str, int]], first: str, convs: tuple[str, str], mean: list, std: list) -> Tensor:
        """DeepMind's networks: these blocks with their strides; wide ones have shortcuts behind the activation."""
        x = self.valid((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1), first, 1)
        for name, stride in blocks:
            ready, aside = self.swish(x, f"{name}.batchnorm_0"), f"{name}.shortcut"
            taken = ready if first == "init_conv" else x
            other = self.valid(taken, aside, stride) if f"{aside}.weight" in self.weights else x
            inner = self.swish(self.valid(ready, f"{name}.{convs[0]}", stride), f"{name}.batchnorm_1")
            x = self.valid(inner, f"{name}.{convs[1]}", 1) + other
        return self.end(self.swish(x, "batchnorm"), "logits")

    def mind_wide(self, x: Tensor, depth: int) -> Tensor:
        each = [(f"layer.{s}.block.{k}", 2 if s and not k else 1) for s in range(3) for k in range((depth - 4) // 6)]
        return self.mind(x, each, "init_conv", ("conv_0", "conv_1"), *CIFAR10)

    def mind_preact(self, x: Tensor, counts: tuple[int, ...], normalize: tuple[list, list]) -> Tensor:
        each = [(f"layer_{s}.{k}", 2 if s and not k else 1) for s, count in enumerate(counts) for k in range(count)]
        return self.mind(x, each, "conv_2d", ("conv_2d_1", "conv_2d_2"), *normalize)

    def plain(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x, "conv1"), "bn1").relu()
        for stage in (1, 2, 3, 4):
            for k in range(2):
                name, stride = f"layer{stage}.{k}", 2 if stage > 1 and not k else 1
                inner = self.norm(self.conv(x, f"{name}.conv1", stride), f"{name}.bn1").relu()
                inner, aside = self.norm(self.conv(inner, f"{name}.conv2"), f"{name}.bn2"), f"{name}.shortcut"
                known = f"{aside}.0.weight" in self.weights
                x = (inner + (self.norm(self.conv(x, f"{aside}.0", stride), f"{aside}.1") if known else x)).relu()
        return self.end(x, "linear")


LAYOUTS = {
    "wide": (wide(16, 2), ["wrn"], lambda one, x: one.wide(x, 16)),
    "wide, option": (wide(10, 1), ["wrn", "--depth", "10", "--wide", "1"], lambda one, x: one.wide(x, 10)),
    "preact": (residual(4, before=True), ["preact-resnet18", "--width", "4"], lambda one, x: one.preact(x)),
    "preact, shortcut of the input": (
        residual(4, before=True),
        ["preact-resnet18", "--width", "4", "--shortcut", "input"],
        lambda one, x: one.preact(x, takes_input=True),
    ),
    "preact, no last norm": (
        residual(4, before=True, last_norm=False),
        ["preact-resnet18", "--width", "4", "--no-last-norm"],
        lambda one, x: one.preact(x),
    ),
    "DeepMind's wide": (mind_wide(16, 1), ["dm-wrn", "--wide", "1"], lambda one, x: one.mind_wide(x, 16)),
    "DeepMind's preact": (
        mind_preact(4, (2, 2, 2, 2)),
        ["dm-preact-resnet", "--width", "4"],
        lambda one, x: one.mind_preact(x, (2, 2, 2, 2), CIFAR10),
    ),
    "DeepMind's preact, 34 layers, CIFAR-100": (
        mind_preact(2, (3, 4, 6, 3), 100),
        ["dm-preact-resnet", "--width", "2", "--depth", "34"],
        lambda one, x: one.mind_preact(x, (3, 4, 6, 3), CIFAR100),
    ),
    "resnet18": (residual(4, before=False), ["resnet18", "--width", "4"], lambda one, x: one.plain(x)),
}
X = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout_gives_its_own_logits(name, run, folder):
    weights, arch, theirs = LAYOUTS[name]
    torch.save({"state_dict": {f"module.{key}": one for key, one in weights.items()}}, "rb.pt")
    ran = run("import", "rb.pt", "--arch", *arch, "--input", "3x32x32")
    assert ran.code == 0, ran.err
    with torch.no_grad():
        ours, wanted = model_file.read("model.safetensors").module()(X), theirs(Layout(weights), X)
    assert torch.allclose(ours, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.125]
PAIRS = {
    "mu": {"mu": torch.tensor(MEAN).view(1, 3, 1, 1), "sigma": torch.tensor(STD).view(1, 3, 1, 1)},
    "module.normalize.mean": {"module.normalize.mean": torch.tensor(MEAN), "module.normalize.std": torch.tensor(STD)},
    "0.mean": {"0.mean": torch.tensor(MEAN), "0.std": torch.tensor(STD)},
}


@pytest.mark.parametrize("name", PAIRS)
def test_buffers_of_mean_and_deviation_are_the_normalisation_and_a_sub_block_is_left_out(name, run, folder):
    weights, unused = wide(10, 1), {key: one for key, one in wide(10, 1, "sub_block").items() if key.startswith("sub_block1.")}
    prefix = {"mu": "model.", "module.normalize.mean": "module.model.", "0.mean": "1."}[name]
    torch.save({**PAIRS[name], **{prefix + key: one for key, one in (weights | unused).items()}}, "rb.pt")
    words = ["import", "rb.pt", "--arch", "wrn", "--depth", "10", "--wide", "1", "--input", "3x32x32"]
    ran = run(*words)
    assert ran.code == 0, ran.err
    assert "normalises with mean [0.5, " in ran.err
    assert "tensors have no place in wrn: sub_block1.layer.0" in ran.err
    found = model_file.read("model.safetensors")
    seen = (X - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        ours, wanted = found.module()(X), Layout(weights).wide(seen, 10)
    assert torch.allclose(ours, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    ran = run(*words, "--mean", "0.5", "-o", "other.safetensors")
    assert ran.code == 0
    assert "; --mean replaces its own" in ran.err
    assert model_file.read("other.safetensors").metadata["normalize"]["mean"] == [0.5, 0.5, 0.5]
    assert model_file.read("other.safetensors").metadata["normalize"]["std"] == found.metadata["normalize"]["std"]


def test_a_pair_that_is_no_normalisation_of_pixels_stays_with_the_weights():
    for mean, std in (([123.0], [58.0]), ([0.5], [0.0]), ([0.5] * 9, [0.5] * 9)):
        tensors = {"mu": torch.tensor(mean), "sigma": torch.tensor(std), "fc.weight": torch.zeros(2, 2)}
        assert normalization(tensors) == ({}, tensors)


def test_other_weights_beside_a_published_layout_are_refused(run, folder):
    torch.save(wide(10, 1) | {"projection.weight": torch.zeros(2, 2)}, "rb.pt")
    ran = run("import", "rb.pt", "--arch", "wrn", "--depth", "10", "--wide", "1", "--input", "3x32x32")
    assert ran.code == 3
    assert "first unexpected 'projection.weight'" in ran.err
