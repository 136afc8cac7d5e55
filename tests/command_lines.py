"""The command lines that `same_bytes.py` runs: every verb, every method, every choice, and what is refused.

Methods and their options come from `methods --json`; what stands here by hand is how verbs are used and how a method is
made quick.
"""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

# The files that all cases start with; made by these lines, in this order, in an empty folder.
FIRST = (
    "attack --method fgsm --limit 24",  # trains the default model first
    "train --arch mlp --epochs 6 -o mlp.safetensors",
    "attack --method pgd --limit 24 --eps 0.1,0.3 --steps 5 -o pgd.h5",
    "attack --method universal --limit 24 --fit-limit 60 --epochs 2 -o uni.h5",
    "attack --method fgm --limit 24 --target next --quantize --model mlp.safetensors -o mlp.h5",
    "attack --method noise --data digits:val --limit 24 -o val.h5",
    "defend --bits 1",
    "defend --method average --samples 4 -o random.safetensors",
    "defend --method smoothing --samples 8 -o smooth.safetensors",
    "defend --method squeeze-detector --limit 60 -o rejecting.safetensors",
    "import ../given/pictures --split train -o pictures.h5",
)  # fmt: skip
BIG = {
    "square": {"steps": "80"},
    "hopskipjump": {"steps": "2"},
    "boundary": {"steps": "30"},
    "rays": {"queries": "60"},
    "simba": {"steps": "80"},
    "one-pixel": {"steps": "2", "population": "20"},
    "spsa": {"steps": "3", "samples": "8"},
    "nes": {"steps": "3", "samples": "8"},
    "fool-gradient": {"steps": "30"},
    "fool-evolve": {"population": "20", "generations": "10"},
}
SMALL = {"steps": "5", "evaluations": "20", "rounds": "2", "epochs": "2", "certify_samples": "50"}  # where a method has them
KINDS = {
    "generate": "--count 1",
    "evolve": "--count 1",
    "substitute": "--limit 16 --fit-limit 60",
    "universal": "--limit 16 --fit-limit 60",
}
# Another value than the default, where the default suggests none; that of one method alone stands after a dot.
VALUES = """
    step_size=0.05 attack=pgd:steps=3 arch=mlp:hidden=16 hidden=32,16 squeezers=bits:2,median:3 network=mlp:hidden=16 bits=2
    against=fgsm:eps=0.1 radii=0,0.1 positive=3 coverage=0.5,1 top=1,3 median=2x2 rate=0.4 depth=4 leaf=3 max_shift=1 max_rot=10
    grid=3,3,5 border=1 ink_tolerance=0.5 cut=1 eps=0.1 inverse_penalty=0.05 wrn.depth=10 samples=5 freq_dims=3
    nlm=5-3-9
    detectors=l1,jsd:10 transform.brightness=0.1 transform.contrast=0.8 transform.blur=1 transform.noise=0.1 transform.resize=0.8
    transform.photo=0.5 transform.quality=60
"""
# What must stand beside an option.
BESIDE = {
    "spatial.samples": "--mode random",
    "spatial.preset": "--border 1 --max-shift 1",
    "simba.freq_dims": "--basis dct",
    "simba.order": "--basis dct",
}
ATTACK = """
    --eps 0.1:0.3:0.1 | --target 3 | --target next | --target all | --target least-likely | --target random
    --label pred | --restarts 2 --seed 5 | --no-early-stop | --max-queries 30 | --quantize | --quantize --rounding trunc
    --precision bfloat16 | --batch-size 7 --part-size 1 --no-perturbations | --dry-run | --json | --model random.safetensors --eot 2
    --model random.safetensors --static | --model rejecting.safetensors | --model defended.safetensors --seed 2 -o x.h5
"""
ATTACK_ONCE = """
    attack --limit 16 --apply uni.universal.h5 | attack --limit 16 --apply uni.universal.h5 --model mlp.safetensors
    attack --method fool-gradient --steps 20 --init grey --count 2 | attack --method fool-gradient --steps 20 --init black
    attack --method fool-gradient --steps 20 --target 3 --init white | attack --split val --per-class 2 --steps 5
    attack --data digits:train --classes 6,7 --steps 5 | attack --data ../given/pictures --steps 5 | attack --data pgd.h5 --steps 5
    attack --data ../given/split --split test --steps 5 | attack --data ../given/images.npz --steps 5 --limit 9
    attack --data pictures.h5 --steps 5 -o x.h5 ; show x.h5 pictures.h5 | attack --method universal --fit-data digits:val --epochs 1
    attack --data digits:val --target next --limit 9
    attack --method fgsm --limit 24 ; attack --method fgsm --limit 24 --batch-size 8 | attack --limit 8 ; attack --limit 8 --force
    attack --method fgsm --limit 9 --eps 8/255 -o x.h5 ; attack --method fgsm --limit 9 --eps 0.1 -o x.h5 ; verify x.h5
"""
TRAIN = """
    --optimizer sgd --momentum 0.5 --lr 0.1 | --optimizer adamw --weight-decay 0.1 | --schedule step | --schedule cosine
    --schedule onecycle --clip 1 | --ema 0.9 | --augment crop,flip,noise:0.1 | --preprocess gaussian:sigma=1 | --keep best
    --preprocess average:samples=3 | --patience 1 | --stop-at 0.2 | --teacher mlp.safetensors --recipe distill --seed 3
    --weights model.safetensors | --weights ../given/weights.pt --arch mlp | --weights model.safetensors --freeze-until 3
    --mean 0.3 --std 0.5 | --precision bfloat16 | --batch-size 20 | --dry-run | --json | --per-class 5 | --classes 6,7
    --part 2/3
    --recipe adversarial --against fgsm --keep best | --recipe adversarial --against universal
    --recipe free --eps 0.1 --replays 2 | --recipe mart --against fgsm | --recipe trades --steps 2 --awp 0.01 | --augment-adv pgd.h5
    --data ../given/pictures | --data ../given/split | --data ../given/images.npz:train | --data pictures.h5 | --data pgd.h5
    --data ../given/large --arch cleverhans-basic | --data ../given/large --arch lenet
"""
DEFEND = """
    defend | defend ; defend | defend adversarial.h5 pgd.h5 ; evaluate adversarial.filtered.h5 ; verify pgd.filtered.h5
    defend --dry-run | defend pictures.h5 --json | defend --model mlp.safetensors --method jpeg ; defend --model defended.safetensors -o x.safetensors
    defend --method vote --member mlp.safetensors --member defended.safetensors -o x.safetensors | defend adversarial.h5 --dry-run
    defend --method stack --member mlp.safetensors --limit 60 --epochs 2 --lr 0.01 --seed 4 | defend --method stack
    defend --method detector --limit 60 --epochs 1 --against fgsm:eps=0.1 --against pgd:steps=2 --data digits:train
    defend --method squeeze-detector --model mlp.safetensors --limit 50 --data digits:train ; evaluate --limit 20
"""
EVALUATE = """
    | pgd.h5 --compare --model model.safetensors --model mlp.safetensors --model defended.safetensors | pgd.h5 --wide | pgd.h5 --json
    pgd.h5 --pixels 8-bit | pgd.h5 --pixels both --wide | --fail-under accuracy=0.99 | pgd.h5 --fail-under robust_accuracy=0.9
    pgd.h5 --fail-under robust_accuracy=0 | --limit 50 --model random.safetensors --draws 2 --seed 4 | --split val | --per-class 2
    --data digits --split val | val.h5 | --classes 6,7 --json | mlp.h5 pgd.h5 uni.h5 --model model.safetensors --json | val.h5 pgd.h5
    mlp.h5 --model mlp.safetensors --wide --compare | mlp.h5 --model mlp.safetensors --model model.safetensors --wide --compare
    pgd.h5 --model rejecting.safetensors | --data ../given/pictures | --data pictures.h5 | --batch-size 7 --quiet
    adversarial.h5 pgd.h5 --model mlp.safetensors | perturbations.h5 | --metric accuracy --fail-under robust_accuracy=0.1
"""
STATS = """
    | pgd.h5 --by label | pgd.h5 --by target,prediction --json | pgd.h5 --where epsilon=0.1,success=1 | --bins 7 --count 4
    pgd.h5 --of originals -o seen | pgd.h5 --of perturbations | pgd.h5 --of images --by prediction | adversarial.h5 perturbations.h5
    pgd.h5 --rows successes | pgd.h5 --rows failures | pgd.h5 --rows all | pictures.h5 --by label | uni.universal.h5 | model.safetensors | --where colour=3 | mlp.h5 --where label=1,target=2 --count 0
"""
OTHERS = """
    stats ; stats ; show perturbations.stats | show | show pgd.h5 model.safetensors uni.universal.h5 rejecting.safetensors
    show pgd.h5 --in ../given | show pgd.h5 --in nowhere | show ../given/weights.pt | verify adversarial.h5 perturbations.h5 pgd.h5
    verify mlp.h5 --model mlp.safetensors --json | verify mlp.h5 | verify adversarial.h5 --model mlp.safetensors
    verify model.safetensors rejecting.safetensors uni.universal.h5 pictures.h5 | verify ../given/damaged.h5
    evaluate ../given/damaged.h5 | evaluate --model ../given/damaged.safetensors | attack --model ../given/damaged.safetensors
    import ../given/weights.pt --arch mlp -o x.safetensors ; evaluate --data digits --model x.safetensors ; export x.safetensors
    export mlp.safetensors -o x.pth
    import ../given/weights.pt --arch mlp --classes a,b,c,d,e,f,g,h,i,j --input 1x8x8 --mean 0.3 --std 0.5 -o x.safetensors
    import ../given/weights.pt --arch mlp --data digits -o x.safetensors | import ../given/weights.pt --arch cnn -o x.safetensors
    import ../given/weights.pt | import ../given/pictures --split test ; import ../given/pictures --split val -o y.h5
    import ../given/split --split train --classes 3,4 --json | import ../given/images.npz ; evaluate --data images.h5
    import ../given/pictures --image-size 6 --resize 7 | import mlp.safetensors --arch mlp -o x.safetensors
    export model.safetensors | export rejecting.safetensors -o r.pt | export pgd.h5 | export pgd.h5 -o folder ; export pgd.h5 -o folder
    export perturbations.h5 -o folder | export mlp.h5 -o folder | export perturbations.h5 ; export perturbations.h5 --force
    export pgd.h5 -o x.csv ; import ../given/images.npz -o y.h5 ; export y.h5 ; evaluate --data y.npz | methods | methods --json
    --help | --version | -h nothing | methods --help | filter | attack --nothing | attack --method fgsm --steps 3 | attack --method nothing
    attack --method nothing:mine | attack --eps much | attack --eps 0.1 --eps 0.2 | attack --model nowhere.safetensors | attack pgd.h5
    attack --method pgd --norm l7 | attack --method deepfool --eps 0.1 | attack --limit 0 | attack --target 11 | attack --data nowhere
    attack --data mnist | attack --method cw --model random.safetensors --target | defend --method squeeze --sigma 2 | defend nowhere.h5
    defend --method gaussian --sigma -1 | defend --method vote | train --arch nothing | train --recipe trades --temperature 3
    train | train --momentum 0.3 -o x.safetensors | train --epochs 0 | train --recipe distill -o x.safetensors | train -o x.pt
    evaluate nowhere.h5 | evaluate --metric nothing | evaluate --fail-under accuracy | evaluate --metric top --radii 0 | stats nowhere.h5
    verify | verify nowhere.h5 | import nowhere.pt --arch cnn | export nowhere.h5 | export | show nowhere.h5 | attack --device tpu
    attack --precision half | attack --split nothing | attack --method fgsm --method pgd | train --dry-runs | evaluate --top 3
"""


def lines(text: str, before: str = "{}") -> list[str]:
    """The cases of a list, which are separated by | or the end of a line; `before` is put around each."""
    rows = [row.strip() for row in text.strip("\n ").split("\n")]
    return [before.format(one.strip()).strip() for row in rows for one in row.split("|")]


def flag(option: Document, value: str = "") -> str:
    return f"--{option['name'].strip('_').replace('_', '-')} {value}".strip()


def small(method: Document) -> str:
    """The options that make a method quick."""
    mine = {**SMALL, **BIG.get(method["name"], {})}
    return " ".join(flag(one, mine[one["name"]]) for one in method["options"] if one["name"] in mine)


def others(method: str, option: Document) -> list[str]:
    """The option with every choice but the default, or with one other value; empty where none can be guessed."""
    name, default = option["name"], option["default"]
    known = dict(pair.split("=", 1) for pair in VALUES.split())
    if option["choices"]:
        found = [flag(option, one) for one in option["choices"] if one != default]
    elif option["type"] == "bool":
        found = [f"--no-{flag(option)[2:]}" if default else flag(option)]
    elif f"{method}.{name}" in known:
        found = [flag(option, known[f"{method}.{name}"])]
    elif isinstance(default, int):
        found = [flag(option, str(default // 2 + 1))]
    elif isinstance(default, float):
        found = [flag(option, f"{default / 2 or 0.1:g}")]
    else:
        found = [flag(option, known[name])] if name in known else []
    return [f"{one} {BESIDE.get(f'{method}.{name}', '')}".strip() for one in found]


def variants(method: Document) -> list[str]:
    """Nothing, and each other value of each option that `small` leaves alone."""
    return ["", *(text for one in method["options"] if one["name"] not in SMALL for text in others(method["name"], one))]


def cases(methods: Document) -> Iterator[str]:
    """Command lines, those that follow each other in one folder with `;` between."""
    for one in methods["attacks"]:
        start = f"attack --method {one['name']} {KINDS.get(one['kind'], '--limit 16')} {small(one)}"
        yield f"attack --method {one['name']} --help"
        after = "verify adversarial.h5 ; evaluate adversarial.h5 --model model.safetensors --model mlp.safetensors ; stats"
        yield f"{start} ; {after}"
        yield from (f"{start} {more}" for more in (*variants(one)[1:], *lines(ATTACK)))
    for one in methods["defenses"]:
        start = f"defend --method {one['name']}" + " --member mlp.safetensors" * one["members"]
        start += " --limit 60" * (one["learns"] or one["rejects"]) + " --epochs 1" * one["learns"]
        after = "evaluate --limit 16 --model x.safetensors ; attack --model x.safetensors --steps 3 --limit 8"
        after += " --eot 2" * one["random"] + " ; verify adversarial.h5"
        yield f"defend --method {one['name']} --help"
        yield from (f"{start} {more} -o x.safetensors ; {after}" for more in variants(one))
        yield f"defend --method {one['name']} pgd.h5"
    for one in methods["recipes"]:
        start = f"train --recipe {one['name']} --limit 120 --epochs 2 {small(one)}"
        start += " --teacher model.safetensors" * (one["name"] == "distill")
        if one["name"] == "kde-confidence":
            start = f"defend --method kde --limit 60 -o kde.safetensors ; {start} --teacher kde.safetensors"
        yield f"train --recipe {one['name']} --help"
        yield from (f"{start} {more} -o x.safetensors ; evaluate --limit 40 --model x.safetensors" for more in variants(one))
    for one in methods["architectures"]:
        epochs = " --epochs 1" * (one["family"] != "fitted")
        yield f"train --arch {one['name']} --help"
        after = "attack --model x.safetensors --method fgsm --limit 8 ; evaluate --limit 40 --model x.safetensors"
        yield from (f"train --arch {one['name']} --limit 60{epochs} {more} -o x.safetensors ; {after}" for more in variants(one))
    for one in methods["metrics"]:
        model = {"noise": "smooth", "score": "rejecting", "boundsdistance": "mlp"}.get("".join(one["needs"]), "defended")
        models = ["model"] * (model != "smooth") + [model]
        start = "evaluate --data digits --limit 16" if one["of"] == "clean" else "evaluate pgd.h5 mlp.h5"
        start += "".join(f" --model {name}.safetensors" for name in models) + f" --metric {one['name']} {small(one)}"
        yield f"evaluate --metric {one['name']} --help"
        yield from (f"{start} {more}" for more in (*variants(one), "--json", "--wide --model random.safetensors"))
    for one in methods.get("figures", ()):
        yield f"stats --figure {one['name']} --help"
        yield from (f"stats pgd.h5 --figure {one['name']} {more}" for more in variants(one))
    yield from (
        f"{verb} --help" for verb in ("train", "attack", "defend", "evaluate", "stats", "show", "verify", "import", "export")
    )
    yield from lines(TRAIN, "train --limit 120 --epochs 2 {} -o x.safetensors")
    yield from (*lines(ATTACK_ONCE), *lines(DEFEND), *lines(EVALUATE, "evaluate {}"), *lines(STATS, "stats {}"), *lines(OTHERS))
