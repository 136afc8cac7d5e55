"""What the results of Wang, Kunin and Pyron's scripts show."""

from papers.results import Line, Results, Seen, shows


def value(results: Results, table: str, metric: str, model: str, made: str) -> float:
    """A figure of `evaluate`, at the full distance of a set."""
    return results.number(table, "value", metric=metric, model=f"{model}.safetensors", set=made, epsilon="")


def median(results: Results, name: str) -> Line:
    """The medians of a sensitivity."""
    (found,) = results.lines(name, of="median")
    return found


def entropies(results: Results, name: str) -> tuple[float, float]:
    """Mean entropy of the votes on originals and on adversarial images."""
    before = results.number(name, "entropy", of="mean entropy", image="original")
    return before, results.number(name, "entropy", of="mean entropy", image="adversarial")


@shows("S0-S1", by="norms", paper="a class that keeps perturbations and shows norms, values, means, deviations and extremes")
def norms(results: Results) -> Seen:
    successes = sum(int(one["count"]) for one in results.lines("norms", norm="l2"))
    cells = len({(one["label"], one["target"]) for one in results.lines("norms_table", norm="l2")})
    return Seen("reproduced", f"norms and values of {successes} successful perturbations; tables of {cells} pairs of classes")


@shows("S0-F1", by="fig1", paper="a grid of the mean adversarial images of all pairs of classes")
def grid(results: Results) -> Seen:
    moved = [int(one["n"]) for one in results.lines("fig1") if one["source"] != one["target"]]
    full = sum(n > 0 for n in moved)
    verdict = "reproduced" if full == 90 else "in direction only"
    return Seen(verdict, f"{full} of 90 pairs, means of {min(moved)} to {max(moved)} images, {sum(moved)} in all")


@shows("S0-F2", by="fig2", paper="an adversarial example makes the sensitivity large; robustness means a small one")
def sensitivity(results: Results) -> Seen:
    plain, robust = (float(median(results, name)["ratio"]) for name in ("fig2", "fig2_robust"))
    verdict = "reproduced" if robust < plain else "not reproduced"
    return Seen(verdict, f"median sensitivity {plain:.3f}, after adversarial training {robust:.3f}")


@shows("S0-F3", by="fig3", paper="pixels of ones are bimodal, and spread much more once they are moved to two")
def pixels(results: Results) -> Seen:
    before, after = (results.number("fig3", "value", of=kind, statistic="inside") for kind in ("originals", "images"))
    verdict = "reproduced" if after >= 3 * before else "in direction only" if after > before else "not reproduced"
    ours = f"{before:.1%} of the pixels lie inside (0.02, 0.98) before, {after:.1%} after"
    return Seen(verdict, ours, "asked: three times as many" if verdict != "reproduced" else "")


@shows("S0-F4", by="fig4", paper="the mean perturbation looks like the target class less the original class")
def mean_perturbation(results: Results) -> Seen:
    own = [one for one in results.lines("fig4") if one["target"] == one["against"]]
    found = [float(one["correlation"]) for one in own if one["correlation"]]
    signs = [float(one["sign_correlation"]) for one in own if one["sign_correlation"]]
    best = sum(one["best"] == "1" for one in own)
    alike = min(found) > 0.3
    verdict = "reproduced" if alike and best >= 8 else "in direction only" if alike else "not reproduced"
    range_of = [f"{min(one):.2f} to {max(one):.2f}" for one in (found, signs)]
    ours = f"correlation {range_of[0]} (of the signs {range_of[1]}); best for {best} of 9"
    return Seen(verdict, ours, "asked: best for 8" if alike and best < 8 else "")


@shows("S0-F5", by="fig5", paper="votes on an original agree, votes on an adversarial image spread over classes")
def votes(results: Results) -> Seen:
    before, after = entropies(results, "fig5")
    shown = [
        max(float(one["share"]) for one in results.lines("fig5", of="votes", image=kind)) for kind in ("original", "adversarial")
    ]
    ours = f"largest share of the votes {shown[0]:.0%} and {shown[1]:.0%}; mean entropy of all rows {before:.2f} and {after:.2f}"
    return Seen("reproduced" if after > before else "not reproduced", ours, "these images barely reach their target")


@shows("S0-D1", by="dropout", paper="votes under dropout should weaken adversarial examples (no figures)")
def dropout(results: Results) -> Seen:
    clean = [results.number("dropout_clean", "value", model=f"{one}.safetensors") for one in ("base", "vote")]
    sets = ("minimal.h5", "confident.h5", "eot.h5")
    right = [value(results, "dropout", "accuracy", "vote", one) for one in sets]
    target = [value(results, "dropout", "target-rate", "vote", one) for one in sets]
    holds = 0.25 <= right[0] <= 0.75 and right[1] <= 0.1 and abs(clean[0] - clean[1]) <= 0.01
    ours = f"clean {clean[0]:.1%}, voted {clean[1]:.1%}; votes right (at the target) on " + ", ".join(
        f"{name} {a:.1%} ({b:.1%})"
        for name, a, b in zip(("minimal", "confident", "through the votes"), right, target, strict=True)
    )
    verdict = "in direction only" if right[0] > right[1] else "not reproduced"
    return Seen("reproduced" if holds else verdict, ours, "votes save minimal examples and fall to long ones")


@shows("S0-D1b", by="dropout", paper="votes on adversarial images vary much more than on originals")
def disagreement(results: Results) -> Seen:
    areas = [results.number("dropout_entropy", "value", metric="auc", positives="successful", set=one, epsilon="")
             for one in ("minimal.h5", "confident.h5", "eot.h5")]  # fmt: skip
    ours = "area under the curve {:.3f} on minimal examples, {:.3f} on confident ones, {:.3f} through the votes".format(*areas)
    verdict = "reproduced" if areas[0] >= 0.9 else "in direction only" if areas[0] > 0.5 else "not reproduced"
    return Seen(verdict, ours, "a property of examples that barely cross the boundary" if areas[1] < areas[0] else "")


@shows("S0-K2", by="mmd", paper="mean discrepancy tells attacked images from clean ones")
def discrepancy(results: Results) -> Seen:
    clean, attacked = (results.number("mmd", "p", of="test", epsilon=eps) for eps in ("0", "0.1"))
    ours = f"p = {attacked:.3g} for FGSM 0.1 and {clean:.3g} for two clean samples, 100 images each"
    return Seen("reproduced" if attacked < 0.01 <= clean else "not reproduced", ours, "a test of samples, not of an image")


@shows("S0-K1", by="transfer", paper="adversarial images often transfer to other networks (no figures)")
def transfer(results: Results) -> Seen:
    fgsm = results.number("transfer", "value", metric="transfer", model="other.safetensors", set="fgsm.h5")
    minimal = value(results, "transfer", "transfer", "other", "minimal.h5")
    ours = f"an MLP is misled by {fgsm:.1%} of FGSM 0.3 and by {minimal:.1%} of the minimal examples of this paper"
    return Seen("reproduced" if fgsm >= 0.3 and minimal < fgsm else "in direction only", ours)
