"""What the results of the scripts of Possas's review show."""

from itertools import pairwise
from statistics import mean, median

from papers.results import Line, Results, Seen, seen, shows

KINDS = ("dnn", "lr", "svm", "tree", "knn")
METHODS = ("fgsm", "bim", "illc")


def accuracy(results: Results, table: str, model: str, made: str | None = None) -> float:
    """The accuracy of a model on a set, or on clean images."""
    where = {"kind": "clean"} if made is None else {"kind": "adversarial", "set": f"{made}.h5"}
    return results.number(table, "value", model=f"{model}.safetensors", metric="accuracy", **where)


def interval(one: Line) -> str:
    return f"{float(one['value']):.1%} ({float(one['low']):.1%} to {float(one['high']):.1%})"


def only(results: Results, name: str, **wanted: str) -> Line:
    """The only line of NAME.csv with these cells."""
    found = results.lines(name, **wanted)
    if len(found) != 1:
        raise LookupError(f"{name}.csv: {len(found)} lines have {wanted}, expected one")
    return found[0]


@shows("S2-S2", by="transfer_intra", paper="not negligible in any kind; networks and softmax regression most, others less")
def within_kinds(results: Results) -> Seen:
    own_first, said, others = True, list[str](), dict[str, float]()
    for kind in KINDS:
        try:
            found = [one for one in results.lines(f"transfer_intra_{kind}") if not one["set"].startswith("mean")]
        except FileNotFoundError:
            if said or kind != KINDS[-1]:
                continue  # a quick run has one kind
            raise
        own = mean(float(one["value"]) for one in found if one["own"] == "True")
        others[kind] = mean(float(one["value"]) for one in found if one["own"] != "True")
        own_first &= own >= others[kind]
        size = found[0]
        said.append(
            f"{kind}: own {own:.1%}, others {others[kind]:.1%} (linf {float(size['linf']):.2f}, l2 {float(size['l2']):.1f})"
        )
    first, last = ([others[kind] for kind in part if kind in others] for part in (KINDS[:2], KINDS[2:]))
    ordered = bool(first and last) and min(first) > max(last)
    why = "the budgets differ by kind, so that the numbers of two kinds do not compare"
    return seen(*said, holds=own_first and ordered, direction=own_first, why=why)


@shows("S2-S3", by="transfer_cross", paper="network .82 to 38.27 %, tree 47.20 to 89.29 %, and a vote is vulnerable too")
def across_kinds(results: Results) -> Seen:
    found = [one for one in results.lines("transfer_cross") if not one["set"].startswith("mean")]
    names = (*(f"{kind}-1" for kind in KINDS), "vote")
    cells = {name: [float(one["value"]) for one in found if one["model"] == f"{name}.safetensors"] for name in names}
    columns = {name.removesuffix("-1"): mean(values) for name, values in cells.items()}
    order = sorted(KINDS, key=lambda kind: columns[kind])
    largest, small = order[-1] == "tree", "dnn" in order[:2]
    neighbours = columns["knn"] < mean(columns[kind] for kind in KINDS)
    said = ", ".join(
        f"{name.removesuffix('-1')} {min(values):.1%} to {max(values):.1%} (mean {mean(values):.1%})"
        for name, values in cells.items()
    )
    why = "of the columns of the five kinds; the 47.20 that the paper quotes is not in the table of its source"
    return seen(said, holds=largest and small and neighbours, direction=largest, why=why)


def destruction(results: Results) -> dict[tuple[str, str, str], Line]:
    """The top-1 destruction rates by method, transform and budget."""
    found = {}
    for one in results.lines("physical", metric="destruction"):
        method, change = one["set"].removesuffix(".h5").split("-", 1)
        found[method, change, one["epsilon"]] = one
    if not found:
        raise LookupError("physical.csv has no destruction rates")
    return found


LEAST = ("brightness=10of255", "contrast=1.1")  # the weak changes of light
MOST = ("blur=1", "quality=50")


@shows("S2-S4", by="physical", paper="'fast' images survive photographs better than iterative ones; at 16, 2/3 are wrong (top-1)")
def photographs(results: Results) -> Seen:
    found = destruction(results)
    budget = max((one for _, _, one in found), key=float)
    rates = {(method, change): one for (method, change, eps), one in found.items() if eps == budget}
    changes = list(dict.fromkeys(change for _, change in rates))
    ordered = {change: rises([rates[method, change] for method in METHODS]) for change in changes}
    asked = [change for change in (*MOST, "photo=1") if change in changes]  # a quick run has the first
    least = all(
        float(rates[method, weak]["value"]) <= float(rates[method, strong]["value"])
        for method in METHODS
        for weak in LEAST
        for strong in MOST
        if weak in changes and strong in changes
    )
    said = [f"{change}: " + ", ".join(f"{method} {interval(rates[method, change])}" for method in METHODS) for change in asked]
    if "photo=1" in changes:
        right = results.number("physical", "value", set="fgsm-photo=1.h5", epsilon=budget, metric="accuracy", kind="filtered")
        said.append(f"{1 - right:.1%} of fast images are wrong in a photograph")
    apart = sum(float(rates["fgsm", one]["high"]) < float(rates["illc", one]["low"]) for one in changes)
    why = (
        f"at {255 * float(budget):g}/255 in this order for {sum(ordered.values())} of {len(changes)} changes; intervals of fast "
        f"and least likely are apart for {apart}; brightness and contrast destroy {'least' if least else 'more than others'}"
    )
    holds = all(ordered[change] for change in asked) and least
    return seen(*said, holds=holds, direction=sum(ordered.values()) * 2 > len(changes), why=why)


def rises(lines: list[Line]) -> bool:
    values = [float(one["value"]) for one in lines]
    return all(a <= b for a, b in pairwise(values))


@shows("S2-F1", by="fooling", paper="unrecognizable images of every digit in less than 50 generations, 99.99 % by 200 (median)")
def fooling(results: Results) -> Seen:
    said, medians = [], []
    for encoding in ("direct", "cppn"):
        curves: dict[int, list[float]] = {}
        for one in results.lines(f"fooling_{encoding}"):
            curves.setdefault(int(one["generation"]), []).append(float(one["best_confidence"]))
        middle = {generation: median(values) for generation, values in curves.items()}
        medians.append(middle[max(middle)])
        reached = min((generation for generation, value in middle.items() if value >= 0.99), default=None)
        said.append(
            f"{encoding}: median {medians[-1]:.2%} after {max(middle)} generations, "
            f"{f'99 % after {reached}' if reached else 'never 99 %'}"
        )
    why = "MNIST alone: on ImageNet the source has medians of 21.59 % and 88.11 %"
    return seen(*said, holds=min(medians) >= 0.9999 - 1e-4, direction=min(medians) >= 0.9, why=why)


@shows(
    "S2-A1", by="fgs", paper="most inputs misclassified; its source: softmax 99.9 % at .25 with confidence 79.3 %, maxout 89.4 %"
)
def fast(results: Results) -> Seen:
    softmax, net = (1 - accuracy(results, "fgs", name, f"fgs-{name}") for name in ("softmax", "net"))
    near = [one for one in results.lines("fgs_linearity", of="mean") if abs(float(one["step"]) - 0.005) < 1e-9]
    if len(near) != 1:
        raise LookupError("fgs_linearity.csv has no mean at a step of 0.005")
    ratio = float(near[0]["ratio"])
    said = f"error at eps .25: softmax {softmax:.1%}, cnn {net:.1%}; at .005 the loss rises {ratio:.2f} times the first order"
    return seen(said, holds=softmax >= 0.98 and 0.8 <= ratio <= 1.25, direction=softmax >= 0.5)


@shows("S2-K2", by="fgs", paper="adversarial images lie in pockets of low probability; networks are confident of them")
def sure(results: Results) -> Seen:
    said, middle = [], {}
    for name in ("softmax", "net"):
        one = fooled(results, name)
        middle[name] = float(one["mean"])
        said.append(
            f"{name}: mean {middle[name]:.1%}, median {float(one['median']):.1%} of {one['answered']} images that fool it"
        )
    return seen(*said, holds=middle["net"] > 0.6)


def fooled(results: Results, name: str) -> Line:
    """The confidences of a model in the images of its own set that fool it."""
    return only(results, "fgs_confidence", model=f"{name}.safetensors", set=f"fgs-{name}.h5", of="successes")


@shows("S2-S1", by="categories", paper="four kinds: true, re-focused, conatural, benign; no shares")
def categories(results: Results) -> Seen:
    kinds = results.lines("categories", metric="category")
    said = [f"{one['category']} {float(one['value']):.1%}" for one in kinds if float(one["value"])]
    whole = sum(int(one["k"]) for one in kinds) == int(kinds[0]["n"])
    alike = results.lines("categories", metric="alike")  # where the classes have groups
    more = bool(alike) and float(alike[0]["value"]) > float(alike[0]["by_chance"])
    why = f"animals stay animals: {interval(alike[0])}, by chance {float(alike[0]['by_chance']):.1%}" if alike else "no groups"
    return seen(", ".join(said), holds=whole and more, direction=whole, why=why)


@shows("S2-A2", by="fooling", paper="gradient ascent gives unrecognizable images of more than 99 % confidence")
def ascent(results: Results) -> Seen:
    lowest, share = (
        results.number("fooling_gradient", "value", metric=one, kind="adversarial") for one in ("confidence-min", "success")
    )
    return seen(f"{share:.0%} of the classes, lowest confidence {lowest:.2%}", holds=share == 1 and lowest >= 0.99)


@shows("S2-A5", by="substitute", paper="a substitute that saw labels alone misleads the black box")
def substitute(results: Results) -> Seen:
    clean = accuracy(results, "substitute", "net")
    own = accuracy(results, "substitute", "black.substitute")
    black, white = (accuracy(results, "substitute", "net", made) for made in ("black", "white"))
    said = (
        f"the box {clean:.1%} clean, {black:.1%} on transferred FGSM .3, {white:.1%} under FGSM on itself; substitute {own:.1%}"
    )
    return seen(said, holds=own >= 0.8 and white <= black < clean - 0.1, direction=black < clean)


@shows("S2-A7", by="physical", paper="many small steps, as many as reach the edge of the eps neighbourhood")
def iterated(results: Results) -> Seen:
    left = {
        method: {
            one["epsilon"]: float(one["value"])
            for one in results.lines("physical_attacks", set=f"{method}.h5", metric="accuracy", kind="adversarial")
        }
        for method in ("fgsm", "bim")
    }
    reached = {one["epsilon"]: float(one["value"]) for one in results.lines("physical_attacks", set="illc.h5", metric="success")}
    most = max(reached, key=float)
    said = [
        f"eps {255 * float(eps):g}/255: accuracy {one:.1%} under fgsm, {left['bim'][eps]:.1%} under bim"
        for eps, one in left["fgsm"].items()
    ]
    stronger = all(left["bim"][eps] <= one for eps, one in left["fgsm"].items())
    said.append(f"illc reaches the least likely class of {reached[most]:.1%} at {255 * float(most):g}/255")
    return seen(*said, holds=stronger and reached[most] >= 0.7, direction=stronger)


@shows("S2-T1", by="advtrain", paper="'reduced the error rate of adversarial examples from 0.94 % to 0.84 %'")
def mixed(results: Results) -> Seen:
    error = {
        (name, how): 1 - accuracy(results, "advtrain", name, f"{how}-of-{name}")
        for name in ("net", "mixed")
        for how in ("fgsm", "pgd")
    }
    clean = [
        interval(only(results, "advtrain", model=f"{name}.safetensors", metric="accuracy", kind="clean"))
        for name in ("net", "mixed")
    ]
    said = (
        f"error under FGSM .25: {error['net', 'fgsm']:.1%} before, {error['mixed', 'fgsm']:.1%} after",
        f"PGD: {error['net', 'pgd']:.1%} and {error['mixed', 'pgd']:.1%}",
        f"clean accuracy {clean[0]} and {clean[1]}",
    )
    why = "the paper's figures are clean errors in its source, where the adversarial error falls from 89.4 to 17.9 %"
    holds = error["net", "fgsm"] >= 0.8 and error["mixed", "fgsm"] <= 0.25
    return seen(*said, holds=holds, direction=error["mixed", "fgsm"] < error["net", "fgsm"], why=why)


@shows("S2-T2", by="advtrain", paper="weight decay is a popular regularisation of large weights")
def decay(results: Results) -> Seen:
    found = results.lines("decay", metric="accuracy", kind="adversarial")
    own = {
        name: float(one["value"])
        for one in found
        if one["set"] == f"fgsm-of-{(name := one['model'].removesuffix('.safetensors'))}.h5"
    }
    without = own["decay-0"]
    said = ", ".join(f"{name.removeprefix('decay-')}: {one:.1%}" for name, one in own.items())
    why = "it is no defense: within 5 points of none, or worse"
    return seen(f"accuracy under FGSM .1 by weight decay: {said}", holds=max(own.values()) <= without + 0.05, why=why)


@shows("S2-D3", by="kde", paper="80 % of images classified with high confidence 'mitigated'; 68 to 72 % of the variance kept")
def density(results: Results) -> Seen:
    said, areas, weaker = [], [], True
    for reduce in ("pca", "ae"):
        model = f"kde-{reduce}.safetensors"
        if not results.lines("kde", model=model):
            continue  # a quick run has one
        static, through = (
            results.number("kde", "value", model=model, metric="success", set=f"{made}.h5")
            for made in ("kde-static", f"pgd-of-kde-{reduce}")
        )
        areas.append(results.number("kde", "value", model=model, metric="auc", set="kde-static.h5", positives="all"))
        seen_share = results.number("kde", "value", model=model, metric="tpr@5%", set="kde-static.h5", positives="all")
        weaker &= through > static
        said.append(
            f"{reduce}: area {areas[-1]:.3f}, {seen_share:.1%} of FGSM .3 seen at 5 % false alarms; "
            f"fooled and accepted {static:.1%}, {through:.1%} under PGD through the density"
        )
    if not areas:
        raise LookupError("kde.csv has none of the models")
    return seen(
        *said, holds=min(areas) >= 0.8 and weaker, direction=weaker, why="80 % hold for no attack that knows of the density"
    )


@shows("S2-K1", by="vulnerability", paper="an open question: 'would an image with a noisy background be more susceptible?'")
def vulnerable(results: Results) -> Seen:
    said = []
    for name in ("vulnerability", "vulnerability_photos"):
        try:
            lines = results.lines(name)
        except FileNotFoundError:
            if name == "vulnerability":
                raise
            continue  # in full runs
        classes = {one["class"]: float(one["smallest_median"]) for one in lines if one["of"] == "class"}
        (rank,) = (one for one in lines if one["of"].startswith("images"))
        first, last = (choose(classes, key=lambda one: classes[one]) for choose in (min, max))
        said.append(
            f"{name}: smallest budgets from {classes[first]:g} ({first}) to {classes[last]:g} ({last}), medians; "
            f"with the noise of the background rho {float(rank['rho']):.2f} (p {float(rank['p']):.2g}, n {rank['n']})"
        )
    return seen(*said, holds=bool(said), why="an answer to what the paper leaves open")


@shows("S2-F2", by="activations", paper="Figure 4: another path of activations; Figure 5: panda and gibbon")
def paths(results: Results) -> Seen:
    layers = [one for one in results.lines("fig4") if one["type"] in ("Conv2d", "Linear") or one["layer"] == "image"]
    changes = [float(one["relative"]) for one in layers]
    grows = sum(after > before for before, after in pairwise(changes))
    said = f"relative change by layer {' → '.join(f'{one:.2f}' for one in changes)}; {len(results.lines('fig5'))} triptychs"
    return seen(said, holds=grows >= 0.75 * (len(changes) - 1), direction=changes[-1] > changes[0])
