"""What the results of Wang and Zhang's scripts show."""

from papers.results import Results, Seen, seen, shows

PLAIN = "plain-none"
SIXES, SEVENS = 958, 1028  # of the MNIST test images


def figure(results: Results, table: str, model: str, made: str | None = None, metric: str = "accuracy") -> float:
    """A figure of a model on a set, or on clean images."""
    where = {"kind": "clean"} if made is None else {"kind": "adversarial", "set": f"{made}.h5", "epsilon": _budget(made)}
    return results.number(table, "value", model=f"{model}.safetensors", metric=metric, **where)


def _budget(made: str) -> str:
    """The budget of a set; transforms and the nearest image of another class have none."""
    return "" if made.startswith(("moved", "grid", "jsma", "boundary")) else "0.3"


def by_model(results: Results, table: str, **wanted: str) -> dict[str, float]:
    """The accuracies of a table by model."""
    found = results.lines(table, metric="accuracy", **wanted)
    if not found:
        raise LookupError(f"{table}.csv has no accuracy of {wanted}")
    return {one["model"].removesuffix(".safetensors"): float(one["value"]) for one in found}


def against_itself(results: Results, table: str, attack: str) -> dict[str, float]:
    """The accuracy of every model under an attack on itself."""
    models = by_model(results, table, kind="clean")
    return {one: figure(results, table, one, f"{attack}-of-{one}") for one in models}


def each(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {one:.1%}" for name, one in shares.items())


def span(shares: list[float]) -> str:
    return f"{min(shares):.1%} to {max(shares):.1%}"


@shows("S4-X1", by="table1", paper="12,000 training and 2,000 test images, about as many sixes as sevens")
def sixes_and_sevens(results: Results) -> Seen:
    clean = {"model": f"{PLAIN}.safetensors", "kind": "clean"}
    count, sevens = (int(results.number("table1", "n", metric=one, **clean)) for one in ("accuracy", "recall"))
    said = f"{count:,} test images, {sevens:,} of them sevens"
    return seen(said, holds=(count, sevens) == (SIXES + SEVENS, SEVENS), why="the paper rounds")


@shows("S4-X2", by="table1", paper="near 100 % clean, 0 % under three attacks (text); FGSM P .722, R .746, F1 .733 (Table I)")
def positive(results: Results) -> Seen:
    said, exact = [], True
    for made in (None, "fgsm-of-plain-none", "jsma"):
        p, r, f1 = (figure(results, "table1", PLAIN, made, one) for one in ("precision", "recall", "f1"))
        exact &= abs(f1 - (2 * p * r / (p + r) if p + r else 0)) < 1e-9
        said.append(f"{made or 'clean'} P {p:.3f}, R {r:.3f}, F1 {f1:.3f}")
    return seen(*said, holds=exact, why="the metrics are the paper's; its text contradicts its table")


@shows("S4-X3", by="kit", paper="the authors' kit: 100 % clean; grid, SPSA and boundary attack 0 %, at coverages 0.8 and 1")
def coverage(results: Results) -> Seen:
    sets = (None, "moved", "spsa", "boundary")
    found = {made or "clean": figure(results, "kit", "kit", made, "accuracy@80%") for made in sets}
    whole = {made: figure(results, "kit", "kit", made, "accuracy@100%") for made in sets}
    same = all(figure(results, "kit", "kit", made) == share for made, share in whole.items())
    broken = max(share for name, share in found.items() if name != "clean") <= 0.05
    why = "these are the zeros of Table I, and belong to this network, not to that of its other row"
    return seen(f"of the 80 % most confident: {each(found)}", holds=found["clean"] >= 0.99 and broken and same, why=why)


@shows("S4-A2", by="table1", paper="0 %; the code asks for 'gsma' and never ran it: its stored results are the clean ones")
def jsma(results: Results) -> Seen:
    left = figure(results, "table1", PLAIN, "jsma")
    return seen(f"{left:.1%} left by a real JSMA", holds=left <= 0.1)


@shows("S4-A3", by="table1", paper="accuracy .72 (Table I), 0 % (text)")
def fgsm(results: Results) -> Seen:
    one, many = (figure(results, "table1", PLAIN, f"{how}-of-plain-none") for how in ("fgsm", "pgd"))
    why = "where one step ends depends on the training; many steps within the same 0.3 leave less"
    return seen(f"{one:.1%} under one step, {many:.1%} under PGD", holds=abs(one - 0.7195) <= 0.1, direction=one < 0.95, why=why)


BASELINES = {PLAIN: "table1", "plain-gaussian": "table2", "plain-squeeze": "table3", "fgsm-none": "table4"}


@shows("S4-T2", by="table4", paper="nothing, a filter in training and test, FGSM training: FGSM F1 .733, .638 or .928, .986")
def baselines(results: Results) -> Seen:
    clean = [figure(results, table, name) for name, table in BASELINES.items()]
    one, many = (
        {name: figure(results, table, name, f"{how}-of-{name}") for name, table in BASELINES.items()} for how in ("fgsm", "pgd")
    )
    holds = min(clean) >= 0.99 and one["fgsm-none"] == max(one.values())
    return seen(f"clean {span(clean)}", f"FGSM: {each(one)}", f"PGD: {each(many)}", holds=holds)


def filtered(results: Results, table: str, name: str) -> Seen:
    """A network behind a filter: clean, under FGSM on the network alone, and through the filter."""
    model = f"plain-{name}"
    clean, static, through, many = (
        figure(results, table, model, made) for made in (None, f"fgsm-beside-{name}", f"fgsm-of-{model}", f"pgd-of-{model}")
    )
    f1 = [figure(results, table, model, made, "f1") for made in (f"fgsm-beside-{name}", f"fgsm-of-{model}")]
    said = f"clean {clean:.1%}; FGSM on the network alone {static:.1%} (F1 {f1[0]:.3f}), through the filter {through:.1%}"
    why = "the paper does not say what its FGSM images were made against; an attack through the filter tells its worth"
    return seen(f"{said} (F1 {f1[1]:.3f})", f"PGD through it {many:.1%}", holds=False, why=why,
                direction=clean >= 0.99 and through <= static)  # fmt: skip


@shows("S4-D1", by="table2", paper="clean F1 .999, FGSM F1 .638")
def gaussian(results: Results) -> Seen:
    return filtered(results, "table2", "gaussian")


@shows("S4-D2", by="table3", paper="clean F1 .999, FGSM F1 .928; the code's filter is the larger of two neighbours")
def squeeze(results: Results) -> Seen:
    return filtered(results, "table3", "squeeze")


@shows("S4-T3", by="table4", paper="FGSM P .99, R .981, F1 .986")
def fgsm_training(results: Results) -> Seen:
    clean, one, many = (figure(results, "table4", "fgsm-none", made) for made in (None, "fgsm-of-fgsm-none", "pgd-of-fgsm-none"))
    f1 = figure(results, "table4", "fgsm-none", "fgsm-of-fgsm-none", "f1")
    why = "it overfits the single step: PGD within the same 0.3 finds what FGSM does not" if one - many > 0.2 else ""
    return seen(f"clean {clean:.1%}", f"FGSM {one:.1%} (F1 {f1:.3f})", f"PGD {many:.1%}", holds=one >= 0.95, why=why)


@shows("S4-A5", by="table5", paper="the oracle keeps .767 on the substitute's FGSM images")
def substitute(results: Results) -> Seen:
    clean, left = figure(results, "table5", PLAIN), figure(results, "table5", PLAIN, "transferred")
    said = f"clean {clean:.1%}, transferred {left:.1%}"
    return seen(said, holds=abs(left - 0.767) <= 0.15, direction=left < clean)


@shows("S4-T4", by="table5", paper="'black-box defending': FGSM F1 .015")
def black_box_training(results: Results) -> Seen:
    again = "black-box-none"
    own = figure(results, "table5", "transferred.substitute", "fgsm-of-substitute", "f1")
    before, after = figure(results, "table5", PLAIN, "transferred"), figure(results, "table5", again, "transferred-again")
    white = [figure(results, "table5", one, f"fgsm-of-{one}") for one in (PLAIN, again)]
    said = [
        f"substitute under FGSM on itself F1 {own:.3f}",
        f"new transferred images {before:.1%}, {after:.1%} after training on such",
        f"white-box FGSM {white[0]:.1%} and {white[1]:.1%}",
    ]
    why = "the .015 is of the attacker's own network, which nothing defends; training the attacked one again is the honest form"
    return seen(*said, holds=own <= 0.1 and after > before, direction=after > before, why=why)


@shows("S4-T5", by="table6", paper="six models, of which some classify an attack better than others")
def six_models(results: Results) -> Seen:
    clean = by_model(results, "table6", kind="clean")
    one, many = (against_itself(results, "table6", how) for how in ("fgsm", "pgd"))
    static = by_model(results, "table6_filters", kind="adversarial", set="fgsm-of-plain-none.h5")
    trained, others = ([one[name] for name in one if name.startswith(kind)] for kind in ("fgsm-", "black-box-"))
    said = (
        f"FGSM on each: {each(one)}",
        f"PGD on each: {each(many)}",
        f"FGSM made for the plain network {span([*static.values()])}",
    )
    why = f"{sum(share <= 0.05 for share in many.values())} of {len(many)} keep at most 5 % under PGD"
    holds = min(clean.values()) >= 0.98 and min(trained) > max(others)
    return seen(*said, holds=holds, direction=max(trained) > max(others), why=why)


@shows("S4-D3", by="seeds", paper="one network on twelve logits, one run: .998 clean, .019 under FGSM")
def seeds(results: Results) -> Seen:
    clean, under = by_model(results, "seeds", kind="clean"), against_itself(results, "seeds", "pgd")
    linear = [name for name in clean if name.startswith("paper4")]
    usual = [name for name in clean if name not in linear]
    said = [
        f"{recipe}, {len(names)} seeds: clean {span([clean[one] for one in names])}, "
        f"PGD through it {span([under[one] for one in names])}"
        for recipe, names in (("usual recipe", usual), ("recipe of their code", linear))
    ]
    holds = min(clean[one] for one in usual) >= 0.98 and max(under.values()) <= 0.1
    return seen(*said, holds=holds, direction=True, why="their code fits a linear map that starts from N(0, 1)")


PLACES = {
    "none": ("table1", PLAIN),
    "Gaussian": ("table2", "plain-gaussian"),
    "squeezing": ("table3", "plain-squeeze"),
    "FGSM training": ("table4", "fgsm-none"),
    "black box": ("table5", "black-box-none"),
    "integrated": ("table7", "integrated"),
}
PRINTED = {"none": 0.733, "Gaussian": 0.638, "squeezing": 0.928, "FGSM training": 0.986, "integrated": 0.027}


@shows("S4-S1", by="table7", paper=f"FGSM F1: {', '.join(f'{name} {one}' for name, one in PRINTED.items())}; black box .015")
def tables(results: Results) -> Seen:
    clean = {name: figure(results, *place) for name, place in PLACES.items()}
    moved = {name: figure(results, *place, "moved") for name, place in PLACES.items()}
    f1 = {name: figure(results, table, model, f"fgsm-of-{model}", "f1") for name, (table, model) in PLACES.items()}
    many = {
        name: figure(results, table, model, f"pgd-of-{model}") for name, (table, model) in PLACES.items() if name != "black box"
    }
    best = max(against_itself(results, "table6", "pgd").values())
    checks = {
        "clean at least 99 % everywhere": min(clean.values()) >= 0.99,
        "FGSM training is best under FGSM": f1["FGSM training"] == max(f1.values()),
        "filters gain at most 10 points under PGD": max(many["Gaussian"], many["squeezing"]) <= many["none"] + 0.1,
        "large movements hurt every network": max(moved.values()) <= 0.75,
        "the integrated model does not exceed its best member under PGD": many["integrated"] <= best + 1e-9,
    }
    wrong = [name for name, holds in checks.items() if not holds]
    near = [name for name, printed in PRINTED.items() if abs(f1[name] - printed) <= 0.1]
    why = f"does not hold: {'; '.join(wrong)}" if wrong else "every direction holds"
    said = (
        f"FGSM F1: {', '.join(f'{name} {one:.3f}' for name, one in f1.items())}",
        f"PGD: {each(many)}",
        f"moved: {each(moved)}",
    )
    return seen(*said, holds=not wrong and len(near) == len(PRINTED), direction=not wrong,
                why=f"{why}; within 0.1 of the printed F1: {', '.join(near) or 'none'}")  # fmt: skip


@shows("S4-F1", by="fig1_2", paper="samples of 6 and 7; a 6 read as 7 after JSMA; diagrams of the integrated model")
def pictures(results: Results) -> Seen:
    shown, parts = results.lines("fig1"), results.lines("fig3_4")
    pairs = [one for one in results.lines("fig2") if one["of"] == "images"]
    swapped = sum(one["label"] != one["prediction"] for one in pairs)
    said = f"{len(shown)} samples; {swapped} of {len(pairs)} pairs read as the other digit; {len(parts)} lines about the parts"
    return seen(said, holds=bool(shown and pairs and parts) and swapped == len(pairs))


@shows("S4-K1", by="compare", paper="'we can't prove that our new model doesn't significantly perform better than any other'")
def compare(results: Results) -> Seen:
    said, better = [], False
    for attack in ("fgsm", "pgd"):
        pairs = [
            one
            for one in results.lines("compare", metric="difference", attack=attack)
            if one["set"] == f"{attack}-of-{one['model'].removesuffix('.safetensors')}.h5 / {attack}-of-integrated.h5"
        ]
        if not pairs:
            raise LookupError(
                f"compare.csv: no model under {attack} on itself against the integrated model under {attack} on itself"
            )
        best = max(pairs, key=lambda one: float(one["value"]))  # what the member has right above the integrated model
        better |= best["finding"] == "worse"
        name, points = best["model"].removesuffix(".safetensors"), 100 * float(best["value"])
        said.append(
            f"{attack.upper()}: best member {name} {points:+.1f} points against the integrated model, "
            f"McNemar p {float(best['p']):.2g}, of all tests {float(best['p_holm']):.2g}: {best['finding']}"
        )
    left = against_itself(results, "leave_out", "pgd")
    why = (
        f"PGD through the integrated model leaves {left.pop('integrated'):.1%}, with one model left out {span([*left.values()])}"
    )
    return seen(*said, holds=not better, why=why)
