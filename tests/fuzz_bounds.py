"""Random networks against their own certificates, for as long as one likes; the suite runs the same on a few.

    python tests/fuzz_bounds.py [NETWORKS [IMAGES [FIRST SEED]]]

Every network has weights of another size; every image a budget at which some are proved and some are not. No point of the ball
may break a proved image: corners, random points, and apgd with restarts, from several objectives.
"""

import sys
import time
from collections import Counter

import torch

from advcli.bounds.certify import METHODS
from advcli.bounds.reading import read
from bounds_networks import KINDS, certify, classifier, images, inside, margin
from conftest import attacked

BUDGETS = {"linf": (0.01, 0.03, 0.08), "l2": (0.05, 0.2, 0.5), "l1": (0.2, 1.0)}
RANDOM = 100  # points of every ball
OPTIONS = {"steps": 25}


def one(seed: int, count: int) -> Counter:
    """One network: how many of its images were proved, broken, and both, which must not be."""
    kind, norm = KINDS[seed % len(KINDS)], list(BUDGETS)[seed // len(KINDS) % 3]
    eps = BUDGETS[norm][seed // 27 % len(BUDGETS[norm])]
    model, x = classifier(kind, seed, 1.0 + seed % 5), images(count, seed)
    with torch.no_grad():
        labels = model(x).argmax(1)
        bound = certify(read(model), x, labels, eps, norm, METHODS[1 + seed % 2], 5)
        points = inside(x, eps, norm, RANDOM, seed)
        lowest = margin(model, points.flatten(0, 1), labels.repeat(RANDOM)).view(RANDOM, -1).amin(0)
    broken = lowest <= 0
    if norm != "l1":
        for objective in ("margin", "xent"):
            options = {"norm": norm, "objective": objective, **OPTIONS}
            found = attacked("apgd", model, x, labels, str(eps), options=options, restarts=2, seed=seed)
            broken |= torch.from_numpy(found["success"].astype(bool))
    wrong = (bound > 0) & broken | (bound > lowest)
    if bool(wrong.any()):
        print(f"WRONG: {kind}, seed {seed}, {norm} {eps}: images {wrong.nonzero()[:, 0].tolist()}", flush=True)
    return Counter(images=count, proved=int((bound > 0).sum()), broken=int(broken.sum()), wrong=int(wrong.sum()))


def main() -> int:
    given = [int(one) for one in sys.argv[1:4]]
    networks, count, first = given + [1000, 50, 0][len(given) :]
    total, start = Counter(), time.monotonic()
    for seed in range(first, first + networks):
        total += one(seed, count)
        if not (seed + 1) % 50:
            print(f"{seed + 1 - first} networks, {dict(total)}, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{networks} networks: {dict(total)}")
    return int(total["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
