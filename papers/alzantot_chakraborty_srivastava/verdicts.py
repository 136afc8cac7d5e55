"""What the results of Alzantot, Chakraborty and Srivastava's scripts show."""

from itertools import pairwise

from papers.results import Results, Seen, seen, shows

NET = "shallow.safetensors"
SMALL = (0.05, 0.1)  # the budgets at which the network is neither right nor wrong everywhere


def by_budget(results: Results, name: str, **wanted: str) -> dict[float, float]:
    """A rate of NAME.csv at every budget."""
    found = {float(one["epsilon"]): float(one["value"]) for one in results.lines(name, **wanted) if one["epsilon"]}
    if not found:
        raise LookupError(f"{name}.csv has no line of {wanted}")
    return found


def by_sigma(results: Results, budget: float) -> dict[float, float]:
    """Accuracy at one budget for every sigma; 0 is the network without smoothing."""
    lines = [one for one in results.lines("fig3") if float(one["epsilon"]) == budget]
    found = {0.0 if one["sigma"] == "none" else float(one["sigma"]): float(one["value"]) for one in lines}
    return dict(sorted(found.items()))


def best(curve: dict[float, float]) -> tuple[float, float]:
    """The sigma at which a curve is highest, and by how much it is above no smoothing."""
    sigma = max(curve, key=lambda one: curve[one])
    return sigma, curve[sigma] - curve[0]


def inverted_u(curve: dict[float, float]) -> bool:
    """A curve that rises to one peak within it and falls behind it."""
    values = list(curve.values())
    peak = values.index(max(values))
    rises = all(a <= b for a, b in pairwise(values[: peak + 1]))
    return rises and 0 < peak < len(values) - 1 and all(a >= b for a, b in pairwise(values[peak:]))


def row_of(curve: dict[float, float]) -> str:
    """A curve as 'at 0.05 59.8%, at 0.1 12.8%'."""
    return ", ".join(f"at {one:g} {value:.1%}" for one, value in curve.items())


def cell(results: Results, table: str, metric: str, model: str, made: str = "") -> float:
    """A figure of `evaluate` of a model, on clean images or on a set."""
    where = {"set": f"{made}.h5"} if made else {"kind": "clean"}
    return results.number(table, "value", metric=metric, model=f"{model}.safetensors", **where)


@shows("S3-T1", by="fig1", paper="a shallow neural network, 95.16 % of the test images")
def shallow(results: Results) -> Seen:
    clean = by_budget(results, "fig1")[0]
    near = 0.95 <= clean <= 0.965
    return seen(f"{clean:.2%}", holds=near, direction=clean > 0.9, why="stopped by validation images, not by the test images")


@shows("S3-A1", by="fig1", paper="FGSM takes the accuracy from 95.16 % to 17.9 %, at a budget that is not stated")
def fgsm(results: Results) -> Seen:
    curve = by_budget(results, "fig1")
    above, below = (0.0, curve[0]), (max(curve), curve[max(curve)])
    for one in pairwise(curve.items()):
        if one[0][1] >= 0.179 >= one[1][1]:
            above, below = one
            break
    falls = min(curve.values()) <= 0.179
    where = f"17.9 % lies between {above[0]:g} ({above[1]:.1%}) and {below[0]:g} ({below[1]:.1%})"
    return seen(where if falls else row_of(curve), holds=falls and above[0] >= 0.05 and below[0] <= 0.15, direction=falls)


@shows("S3-F1", by="fig1", paper="Figure 1: accuracy falls as the noise grows")
def accuracy(results: Results) -> Seen:
    curve = by_budget(results, "fig1")
    return seen(row_of(curve), holds=all(a >= b for a, b in pairwise(curve.values())), direction=min(curve.values()) < curve[0])


@shows("S3-F2", by="fig2", paper="Figure 2: a 7 that is read as 3, more and more blurred as sigma grows")
def sevens(results: Results) -> Seen:
    attacked = results.lines("fig2", set="sevens.h5", of="images")
    read = [one["prediction"].strip("'") for one in attacked if one["outcome"] == "successes"]
    smoothed = {one["set"].removeprefix("sevens_").removesuffix(".h5") for one in results.lines("fig2", of="images")} - {"sevens"}
    said = f"{len(read)} of {len(attacked)} sevens are misread, as {', '.join(read) or 'nothing'}"
    return seen(said, f"smoothed with sigma {', '.join(sorted(smoothed))}", holds="3" in read, direction=bool(read))


@shows("S3-F3", by="fig3", paper="Figure 3: smoothing compensates part of small noise; a large sigma lowers accuracy again")
def smoothing(results: Results) -> Seen:
    curves = {budget: by_sigma(results, budget) for budget in SMALL}
    peaks = {budget: best(curve) for budget, curve in curves.items()}
    shaped = all(map(inverted_u, curves.values()))
    within = all(0.75 <= sigma <= 1.5 and 0.03 <= gain <= 0.1 for sigma, gain in peaks.values())
    said = [f"at {budget:g} best with sigma {sigma:g}: {gain * 100:+.1f} points" for budget, (sigma, gain) in peaks.items()]
    why = f"{'an inverted U' if shaped else 'no inverted U'} over sigma; asked: by 3 to 10 points, at 0.75 to 1.5"
    return seen(*said, holds=shaped and within, direction=shaped, why=why)


@shows("S3-D1", by="fig3", paper="smoothing slightly increases robustness to FGSM; accuracy stays below that on normal images")
def gaussian(results: Results) -> Seen:
    clean = by_sigma(results, 0)
    said, helps, below = [], True, True
    for budget in SMALL:
        curve = by_sigma(results, budget)
        sigma, gain = best(curve)
        helps &= gain > 0
        below &= curve[sigma] < clean[0]
        said.append(f"at {budget:g} {curve[0]:.1%}, with sigma {sigma:g} {curve[sigma]:.1%} (clean {clean[sigma]:.1%})")
    why = "FGSM made without smoothing in view; see S3-F4 for FGSM through it"
    return seen(f"clean {clean[0]:.1%}", *said, holds=helps and below, direction=helps, why=why)


@shows("S3-F4", by="fig4", paper="Figure 4: fewer attacks succeed when smoothing is used")
def success(results: Results) -> Seen:
    plain = by_budget(results, "fig4", model=NET, set="fgsm.h5")
    static = by_budget(results, "fig4", model="gaussian_1.safetensors", set="fgsm.h5")
    aware = by_budget(results, "fig4", model="gaussian_1.safetensors", set="aware.h5")
    fewer = [static[one] < plain[one] for one in SMALL]
    said = [f"at {one:g} {plain[one]:.1%}, smoothed {static[one]:.1%}, FGSM through it {aware[one]:.1%}" for one in SMALL]
    undone = all(aware[one] >= plain[one] for one in SMALL)
    why = "an attack that goes through the smoothing succeeds " + ("at least as often as without it" if undone else "more often")
    if not all(aware[one] > static[one] for one in SMALL):
        why = "an attack through the smoothing does not succeed more often"
    return seen(*said, holds=all(fewer), direction=any(fewer), why=why)


@shows("S3-D2", by="filters", paper="the abstract names a frequency-domain high-pass filter; there is no result")
def highpass(results: Results) -> Seen:
    models = {one["model"] for one in results.lines("filters")}
    plain = by_budget(results, "filters", model=NET)
    cut = {one: by_budget(results, "filters", model=one) for one in models if one.startswith("highpass")}
    said = [f"none {row_of({one: plain[one] for one in (0.0, *SMALL)})}"]
    for name in sorted(cut):
        radius = name.removeprefix("highpass_").removesuffix(".safetensors")
        said.append(f"radius {radius} {row_of({one: cut[name][one] for one in (0.0, *SMALL)})}")
    through = by_budget(results, "filters_through")
    said.append(f"FGSM through radius 1 {row_of({one: through[one] for one in SMALL})}")
    gains = max(one[0.1] for one in cut.values()) > plain[0.1]
    only_there = all(one[0.05] <= plain[0.05] for one in cut.values())
    costs = min(plain[0] - one[0] for one in cut.values())
    why = f"clean images cost at least {costs * 100:.1f} points (asked: 13, and a gain at 0.1 only)"
    return seen(*said, holds=costs >= 0.13 and gains and only_there, direction=costs > 0 and gains, why=why)


@shows("S3-D3", by="distill", paper="defensive distillation does not defend against recent attacks (Carlini and Wagner)")
def distillation(results: Results) -> Seen:
    clean = [cell(results, "distill", "accuracy", one) for one in ("cnn", "student")]
    plain = cell(results, "distill", "success", "cnn", "plain_softmax")
    masked, margin = (cell(results, "distill", "success", "student", f"student_{one}") for one in ("softmax", "margin"))
    said = f"PGD on the softmax {plain:.1%}, of the student {masked:.1%}, on its logits {margin:.1%}"
    cost = f"clean {clean[0]:.1%}, student {clean[1]:.1%}"
    broken = margin >= 0.8
    holds = broken and masked <= plain / 2 and clean[0] - clean[1] <= 0.015
    why = "the gradient of the softmax vanishes, the images are as near as before" if margin > masked else ""
    return seen(said, cost, holds=holds, direction=broken, why=why)


@shows("S3-D4", by="magnet", paper="MagNet reforms images by autoencoders, of which it needs a large number")
def magnet(results: Results) -> Seen:
    rejected = 1 - cell(results, "magnet", "coverage", "magnet_0")
    detected = 1 - cell(results, "magnet", "coverage", "magnet_0", "unaware")
    static, grey, white = (cell(results, "magnet", "success", "magnet_0", one) for one in ("unaware", "grey", "white"))
    clean = [cell(results, "magnet", "accuracy", one) for one in ("cnn", "magnet_0")]
    expected = 1.96 * (0.01 * 0.99 * (1 / 6_000 + 1 / 10_000)) ** 0.5  # fitted on a tenth of the training images
    said = f"rejects {rejected:.2%} of clean images (asked: 1 %) and {detected:.1%} of FGSM 0.3"
    fooled = f"fooled unseen by FGSM {static:.1%}, by PGD through another autoencoder {grey:.1%}, through its own {white:.1%}"
    broken = white > 0.5 and white >= grey
    holds = broken and abs(rejected - 0.01) <= expected and detected > 0.9
    why = "good against attacks that do not know it, broken by one that does" if holds else ""
    return seen(said, fooled, f"clean {clean[0]:.1%}, behind it {clean[1]:.1%}", holds=holds, direction=broken, why=why)


@shows("S3-K1", by="softmax", paper="FGSM misclassifies 99.9 % of the images that were right (softmax regression, 0.25)")
def softmax(results: Results) -> Seen:
    (found,) = results.lines("softmax", metric="success")
    share = float(found["value"])
    return seen(f"{share:.2%} of {int(found['n']):,} images", holds=share >= 0.98, direction=share >= 0.9)
