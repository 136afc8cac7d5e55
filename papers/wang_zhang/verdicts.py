"""What the results of Wang and Zhang's scripts show."""

from papers.results import Line, Results, Seen, shows

PLAIN = "plain-none"
SIXES, SEVENS = 958, 1028  # of the MNIST test images


def figure(results: Results, table: str, model: str, made: str | None = None, metric: str = "accuracy") -> float:
    """A figure of a model on a set, or on clean images."""
    where = {"kind": "clean"} if made is None else {"kind": "adversarial", "set": f"{made}.h5"}
    return results.number(table, "value", model=f"{model}.safetensors", metric=metric, **where)


def by_model(results: Results, table: str, **wanted: str) -> dict[str, float]:
    """The accuracies of a table by model."""
    found = results.lines(table, metric="accuracy", **wanted)
    if not found:
        raise LookupError(f"{table}.csv has no accuracy of {wanted}")
    return {one["model"].removesuffix(".safetensors"): float(one["value"]) for one in found}


def against_itself(results: Results, table: str, attack: str) -> dict[str, float]:
    """The accuracy of every model under an attack on itself."""
    found = {}
    for one in by_model(results, table, kind="clean"):
        found[one] = figure(results, table, one, f"{attack}-of-{one}")
    return found


def percent(*shares: float) -> str:
    return ", ".join(f"{one:.1%}" for one in shares)


def each(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {one:.1%}" for name, one in shares.items())


def failing(checks: dict[str, bool]) -> str:
    return "; ".join(name for name, holds in checks.items() if not holds)


@shows("S4-X1", by="table1", paper="12,000 training and 2,000 test images, about as many sixes as sevens")
def sixes_and_sevens(results: Results) -> Seen:
    clean = {"model": f"{PLAIN}.safetensors", "kind": "clean"}
    count = int(results.number("table1", "n", metric="accuracy", **clean))
    sevens = int(results.number("table1", "n", metric="recall", **clean))
    said = f"{count:,} test images, {sevens:,} of them sevens"
    return Seen("reproduced" if (count, sevens) == (SIXES + SEVENS, SEVENS) else "not reproduced", said, "the paper rounds")


@shows("S4-X2", by="table1", paper="near 100 % clean, 0 % under the three attacks (text); FGSM P .722, R .746, F1 .733 (Table I)")
def positive(results: Results) -> Seen:
    said, exact = [], True
    for made in (None, "fgsm-of-plain-none", "jsma"):
        p, r, f1 = (figure(results, "table1", PLAIN, made, one) for one in ("precision", "recall", "f1"))
        exact &= abs(f1 - (2 * p * r / (p + r) if p + r else 0)) < 1e-9
        said.append(f"{made or 'clean'} P {p:.3f}, R {r:.3f}, F1 {f1:.3f}")
    return Seen(
        "reproduced" if exact else "not reproduced",
        "; ".join(said),
        "the metrics are those of the paper; its text (0 % under FGSM) contradicts its table (F1 .733)",
    )


@shows("S4-X3", by="kit", paper="the authors' kit: 100 % clean; grid, SPSA and boundary attack 0 %, at coverages 0.8 and 1")
def coverage(results: Results) -> Seen:
    found, same = {}, True
    for made in (None, "moved", "spsa", "boundary"):
        whole, most = (figure(results, "kit", "kit", made, f"accuracy@{one}%") for one in (100, 80))
        plain = [
            one for one in results.lines("kit", metric="accuracy", set=f"{made}.h5" if made else "") if not one["epsilon"]
        ]
        same &= made in (None, "spsa") or float(plain[0]["value"]) == whole
        found[made or "clean"] = most
    broken = max(found["moved"], found["spsa"], found["boundary"]) <= 0.05
    return Seen(
        "reproduced" if found["clean"] >= 0.99 and broken and same else "not reproduced",
        f"of the 80 % most confident: {each(found)}",
        "these are the zeros of Table I; they belong to this network, not to that of the other rows",
    )


@shows("S4-A2", by="table1", paper="0 % accuracy; the code never ran it (it asks for 'gsma'), and its stored results are the clean ones")
def jsma(results: Results) -> Seen:
    left = figure(results, "table1", PLAIN, "jsma")
    return Seen("reproduced" if left <= 0.1 else "not reproduced", f"{left:.1%} left; the pictures are in fig2")


@shows("S4-A3", by="table1", paper="accuracy .72 (Table I), 0 % (text)")
def fgsm(results: Results) -> Seen:
    left, many = (figure(results, "table1", PLAIN, f"{one}-of-plain-none") for one in ("fgsm", "pgd"))
    near = abs(left - 0.7195) <= 0.1
    why = "where one step ends depends on the training; many steps within the same 0.3 leave less"
    return Seen("reproduced" if near else "in direction only" if left < 0.95 else "not reproduced",
                f"{left:.1%} under one step, {many:.1%} under PGD", why)  # fmt: skip


@shows("S4-T2", by="table4", paper="nothing, a filter in training and test, adversarial training: FGSM F1 .733, .638 and .928, .986")
def baselines(results: Results) -> Seen:
    models = {"plain-none": "table1", "plain-gaussian": "table2", "plain-squeeze": "table3", "fgsm-none": "table4"}
    clean = {name: figure(results, table, name) for name, table in models.items()}
    one, many = ({name: figure(results, table, name, f"{how}-of-{name}") for name, table in models.items()} for how in ("fgsm", "pgd"))
    holds = min(clean.values()) >= 0.99 and one["fgsm-none"] == max(one.values())
    said = f"FGSM: {each(one)}; PGD: {each(many)}"
    return Seen("reproduced" if holds else "not reproduced", said, "training on FGSM is best against FGSM; PGD stands beside it")


def behind(results: Results, table: str, name: str) -> tuple[str, float, float, float]:
    """The accuracy of a filtered network: clean, under FGSM on the network alone, and through the filter."""
    clean = figure(results, table, f"plain-{name}")
    static, through = (figure(results, table, f"plain-{name}", made) for made in (f"fgsm-beside-{name}", f"fgsm-of-plain-{name}"))
    many = figure(results, table, f"plain-{name}", f"pgd-of-plain-{name}")
    said = f"clean {clean:.1%}; FGSM on the network alone {static:.1%}, through the filter {through:.1%}; PGD through it {many:.1%}"
    return said, clean, static, through


@shows("S4-D1", by="table2", paper="clean F1 .999, FGSM F1 .638: better than the first baseline")
def gaussian(results: Results) -> Seen:
    said, clean, static, through = behind(results, "table2", "gaussian")
    return Seen("in direction only" if clean >= 0.99 and through <= static else "not reproduced", said,
                "the paper gives one number, of an attack on some network; one through the filter is what a filter is worth")  # fmt: skip


@shows("S4-D2", by="table3", paper="clean F1 .999, FGSM F1 .928; the code's filter is the larger of two neighbours, not squeezing")
def squeeze(results: Results) -> Seen:
    said, clean, static, through = behind(results, "table3", "squeeze")
    return Seen("in direction only" if clean >= 0.99 and through <= static else "not reproduced", said,
                "the paper gives one number, of an attack on some network; one through the filter is what a filter is worth")  # fmt: skip


@shows("S4-T3", by="table4", paper="FGSM P .99, R .981, F1 .986")
def fgsm_training(results: Results) -> Seen:
    clean, one, many = (figure(results, "table4", "fgsm-none", made) for made in (None, "fgsm-of-fgsm-none", "pgd-of-fgsm-none"))
    f1 = figure(results, "table4", "fgsm-none", "fgsm-of-fgsm-none", "f1")
    said = f"clean {clean:.1%}; FGSM {one:.1%} (F1 {f1:.3f}), PGD {many:.1%}"
    why = "the network overfits the single step: PGD within the same 0.3 finds what FGSM does not" if one - many > 0.2 else ""
    return Seen("reproduced" if one >= 0.95 else "not reproduced", said, why)


@shows("S4-A5", by="table5", paper="the oracle keeps .767 on the substitute's FGSM images; the substitute itself keeps F1 .015")
def substitute(results: Results) -> Seen:
    moved = figure(results, "table5", PLAIN, "transferred")
    own = figure(results, "table5", "transferred.substitute", "fgsm-of-substitute", "f1")
    clean = figure(results, "table5", PLAIN)
    return Seen("reproduced" if abs(moved - 0.767) <= 0.15 and own <= 0.1 else "in direction only" if moved < clean else "not reproduced",
                f"oracle {moved:.1%} on transferred images, substitute F1 {own:.3f} under FGSM on itself",
                "Table V is the attacker's own network under a white-box attack: nothing in it is defended")  # fmt: skip


@shows("S4-T4", by="table5", paper="'black-box defending': FGSM F1 .015")
def black_box_training(results: Results) -> Seen:
    before, after = figure(results, "table5", PLAIN, "transferred"), figure(results, "table5", "black-box-none", "transferred-again")
    white, again = (figure(results, "table5", one, f"fgsm-of-{one}") for one in (PLAIN, "black-box-none"))
    said = f"new transferred images {before:.1%} before training on such, {after:.1%} after; white-box FGSM {white:.1%} and {again:.1%}"
    return Seen("in direction only" if after > before else "not reproduced", said, "the paper trains no such network; this is the honest form")


@shows("S4-T5", by="table6", paper="six models, each better against some attacks than others")
def six_models(results: Results) -> Seen:
    clean = by_model(results, "table6", kind="clean")
    one, many = (against_itself(results, "table6", how) for how in ("fgsm", "pgd"))
    static = by_model(results, "table6_filters", kind="adversarial", set="fgsm-of-plain-none.h5")
    said = f"FGSM on each: {each(one)}; PGD on each: {each(many)}; FGSM made for the plain network: {percent(min(static.values()), max(static.values()))}"
    trained = [one[name] for name in one if name.startswith("fgsm-")]
    others = [one[name] for name in one if not name.startswith("fgsm-")]
    holds = min(clean.values()) >= 0.98 and min(trained) > max(others)
    return Seen("reproduced" if holds else "in direction only" if max(trained) > max(others) else "not reproduced", said,
                f"{sum(share <= 0.05 for share in many.values())} of {len(many)} keep at most 5 % under PGD")  # fmt: skip


@shows("S4-D3", by="seeds", paper="one network on twelve logits; .998 clean, .019 under FGSM; one run")
def seeds(results: Results) -> Seen:
    clean, under = by_model(results, "seeds", kind="clean"), against_itself(results, "seeds", "pgd")
    said = []
    for recipe in ("usual", "paper4"):
        names = [name for name in clean if name.startswith(recipe)]
        spans = [f"{min(of[one] for one in names):.1%} to {max(of[one] for one in names):.1%}" for of in (clean, under)]
        said.append(f"{recipe} recipe, {len(names)} seeds: clean {spans[0]}, PGD through it {spans[1]}")
    holds = min(share for name, share in clean.items() if name.startswith("usual")) >= 0.98 and max(under.values()) <= 0.1
    return Seen("reproduced" if holds else "in direction only", "; ".join(said), "without activations it is a linear map drawn from N(0, 1)")


@shows("S4-S1", by="table7", paper="FGSM F1: none .733, Gaussian .638, squeezing .928, FGSM training .986, black box .015, integrated .027")
def tables(results: Results) -> Seen:
    places = {"none": ("table1", PLAIN), "Gaussian": ("table2", "plain-gaussian"), "squeezing": ("table3", "plain-squeeze"),
              "FGSM training": ("table4", "fgsm-none"), "black box": ("table5", "black-box-none"),
              "integrated": ("table7", "integrated")}  # fmt: skip
    f1 = {name: figure(results, table, model, f"fgsm-of-{model}", "f1") for name, (table, model) in places.items()}
    clean = {name: figure(results, *place) for name, place in places.items()}
    moved = {name: figure(results, *place, "moved") for name, place in places.items()}
    many = {one: figure(results, *places[one], f"pgd-of-{places[one][1]}") for one in ("none", "Gaussian", "squeezing", "integrated")}
    best = max(against_itself(results, "table6", "pgd").values())
    checks = {
        "clean at least 99 % everywhere": min(clean.values()) >= 0.99,
        "FGSM training best under FGSM": f1["FGSM training"] == max(f1.values()),
        "filters at most 10 points above none under PGD": max(many["Gaussian"], many["squeezing"]) <= many["none"] + 0.1,
        "movements of their code hurt every network": max(moved.values()) <= 0.75,
        "the integrated model not above its best member under PGD": many["integrated"] <= best + 1e-9,
    }
    said = f"FGSM F1: {', '.join(f'{name} {one:.3f}' for name, one in f1.items())}; under PGD {each(many)}; moved {each(moved)}"
    wrong = failing(checks)
    reported = {"none": 0.733, "Gaussian": 0.638, "squeezing": 0.928, "FGSM training": 0.986, "integrated": 0.027}
    near = [name for name, one in reported.items() if abs(f1[name] - one) <= 0.1]
    why = f"does not hold: {wrong}" if wrong else f"within 0.1 of the printed F1: {', '.join(near) or 'none'}; every direction holds"
    return Seen("not reproduced" if wrong else "reproduced" if len(near) == len(reported) else "in direction only", said, why)


@shows("S4-F1", by="fig1_2", paper="samples of 6 and 7; pairs before and after JSMA with a few white dots, 6 read as 7")
def pictures(results: Results) -> Seen:
    shown = results.lines("fig1")
    pairs = [one for one in results.lines("fig2") if one["of"] == "images"]
    swapped = sum(one["label"] != one["prediction"] for one in pairs)
    parts = results.lines("fig3_4")
    said = f"{len(shown)} samples, {swapped} of {len(pairs)} pairs read as the other digit, {len(parts)} lines about the parts"
    return Seen("reproduced" if shown and pairs and swapped == len(pairs) and parts else "not reproduced", said)


def rival(line: Line) -> str:
    return line["model"].removesuffix(".safetensors")


@shows("S4-K1", by="compare", paper="'we can't prove that our new model doesn't significantly perform better than any other individual model'")
def compare(results: Results) -> Seen:
    said, better = [], False
    for attack in ("fgsm", "pgd"):
        pairs = [one for one in results.lines("compare", metric="difference", attack=attack) if one["set"] == own(attack, rival(one))]
        if not pairs:
            raise LookupError(f"compare.csv: no model under its own {attack} against the integrated model under its own")
        best = max(pairs, key=lambda one: float(one["value"]))  # how much more the rival has right
        better |= best["finding"] == "worse"
        said.append(
            f"{attack.upper()} on each: best single {rival(best)} {float(best['value']):+.1%} against the integrated model"
            f" (McNemar p {float(best['p']):.2g}, with Holm {float(best['p_holm']):.2g}: {best['finding']})"
        )
    needed = {name: share for name, share in against_itself(results, "leave_out", "pgd").items()}
    why = f"with any one model left out, PGD through it leaves {percent(min(needed.values()), max(needed.values()))}"
    return Seen("not reproduced" if better else "reproduced", "; ".join(said), why)


def own(attack: str, model: str) -> str:
    """What a comparison is called in which each of two models is under an attack on itself."""
    return f"{attack}-of-{model}.h5 / {attack}-of-integrated.h5"
