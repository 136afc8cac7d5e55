"""Speed against plain loops: the same model, images and parameters, interleaved in one run, as ratios.

Two questions apart: full strength at equal steps, and time to a verified verdict (early stop, success checked on the
stored values). A plain loop is what one writes in a notebook: whole batches, every step for every image. Writes
benchmarks/README.md; the figures of other libraries come with the methods that they share with us.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny pictures: a second thread only waits

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import advcli
from advcli import modelfile
from advcli.catalog import spec
from advcli.data.digits import digits
from advcli.numbers import budgets
from advcli.pipeline.craft import Job, craft
from advcli.stack import frozen

HERE = Path(__file__).parent
REPEATS = 7
SWEEP = "0:0.3:0.025"


def timed(one: Callable[[], float], other: Callable[[], float]) -> tuple[list[float], list[float], float, float]:
    """Seconds of each, taken in turn, and what each returned."""
    one(), other()
    times: tuple[list[float], list[float]] = ([], [])
    results = [0.0, 0.0]
    for _ in range(REPEATS):
        for k, run in enumerate((one, other)):
            begin = time.process_time()
            results[k] = run()
            times[k].append(time.process_time() - begin)
    return (*times, *results)


def ours(model: nn.Module, method: str, eps: str, **settings: object) -> Callable[[], float]:
    """Success over initially correct images, batch by batch as the command does it."""
    options = settings.pop("options", {})
    data = digits("test")
    job = Job(model, spec("attack", method).bind(options), "linf", budgets(eps), None, "true", 0, torch.device("cpu"), **settings)

    def run() -> float:
        won = sum(int(craft(job, data, s, min(s + 64, len(data)))["success"].sum()) for s in range(0, len(data), 64))
        return won / (len(data) * len(job.budgets))

    return run


def plain_pgd(model: nn.Module, eps: float, steps: int) -> Callable[[], float]:
    x, y = digits("test").batch(0, 500)

    def run() -> float:
        won = 0
        for s in range(0, 500, 64):
            won += int((model(pgd_batch(model, x[s : s + 64], y[s : s + 64], eps, steps)).argmax(1) != y[s : s + 64]).sum())
        return won / 500

    return run


def pgd_batch(model: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
    z = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(steps):
        z = z.detach().requires_grad_()
        slope = torch.autograd.grad(nn.functional.cross_entropy(model(z), y), z)[0]
        z = torch.minimum(torch.maximum(z + 2.5 * eps / steps * slope.sign(), x - eps), x + eps).clamp(0, 1)
    return z.detach()


def plain_sweep(model: nn.Module) -> Callable[[], float]:
    x, y = digits("test").batch(0, 500)

    def run() -> float:
        won = 0
        for budget in budgets(SWEEP):
            for s in range(0, 500, 64):
                z = x[s : s + 64].clone().requires_grad_()
                slope = torch.autograd.grad(nn.functional.cross_entropy(model(z), y[s : s + 64]), z)[0]
                won += int((model((z + budget.value * slope.sign()).clamp(0, 1)).argmax(1) != y[s : s + 64]).sum())
        return won / (500 * len(budgets(SWEEP)))

    return run


def main() -> None:
    lines = [
        "| cell | plain loop, CPU s | advcli, CPU s | ratio | misclassified or fooled: plain | advcli |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = advcli.train(output=f"{folder}/model.safetensors")
        model = modelfile.read(str(path)).module()
    cells = {
        "pgd, linf 0.15, 40 steps, full strength": (plain_pgd(model, 0.15, 40), ours(model, "pgd", "0.15", early_stop=False)),
        "pgd, linf 0.15, 40 steps, verified verdict": (plain_pgd(model, 0.15, 40), ours(model, "pgd", "0.15")),
        "fgsm, 13 budgets": (plain_sweep(model), ours(model, "fgsm", SWEEP)),
    }
    with frozen(model):
        for name, (theirs, mine) in cells.items():
            theirs_s, mine_s, their_rate, my_rate = timed(theirs, mine)
            ratios = sorted(a / b for a, b in zip(theirs_s, mine_s, strict=True))
            lines.append(
                f"| {name} | {statistics.median(theirs_s):.3f} | {statistics.median(mine_s):.3f} "
                f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {their_rate:.1%} | {my_rate:.1%} |"
            )
            print(lines[-1])
    text = (
        "# Benchmarks\n\nWritten by `nox -s bench` (`benchmarks/run.py`). The embedded digits' 500 test images, the\n"
        f"small default cnn, one thread, batches of 64; medians of {REPEATS} interleaved runs, ratios pair by pair\n"
        "(smallest to largest).\n"
        "The plain loop counts every misclassified image, advcli the initially correct ones that it turned, after checking\n"
        "each on the stored values. A frozen model in both: no gradients of weights.\n\n"
        f"torch {torch.__version__.partition('+')[0]}, Python {platform.python_version()}, {platform.machine()}.\n\n"
        + "\n".join(lines)
        + "\n\nThe other libraries are not measured yet: digits of 8x8 pixels say little about speed.\n"
    )
    (HERE / "README.md").write_text(text)


if __name__ == "__main__":
    main()
