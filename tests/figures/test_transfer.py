"""The heat map of transfer: recomputed by one call of each network, and the own model known by the header."""

import numpy as np
import pytest

from by_hand import check_rate, chosen, columns, probabilities

MODELS = ("model.safetensors", "other.safetensors")


def test_cells_count_what_each_model_has_right_and_loses(drawn, unlabelled):
    """S2-S2, S2-S3: n, k and interval of every source and target; linf and l2 by source; the mean of the others."""
    found = drawn("transfer", "fgsm.h5", "other.h5", "--model", MODELS[0], "--model", MODELS[1])
    for path, own in zip(("fgsm.h5", "other.h5"), MODELS, strict=True):
        file = columns(path)
        here = file["epsilon"] == np.float32(0.1)
        for model in MODELS:
            after = probabilities(model, file["images"]).argmax(1) == file["labels"]
            before = (
                probabilities(model, file["originals"]).argmax(1)
                == file["labels"][np.unique(file["original"], return_index=True)[1]]
            )[file["original"]]
            line = chosen(found, set=path, model=model, epsilon="0.1")
            check_rate(line, (here & before & ~after).sum(), (here & before).sum())
            assert line["own"] == str(model == own)
    mean = chosen(found, set="mean of the others", model=MODELS[0], epsilon="0.1")
    assert float(mean["value"]) == pytest.approx(float(chosen(found, set="other.h5", model=MODELS[0])["value"]), abs=1e-9)
    assert drawn("transfer", unlabelled)[0]["value"] == "nan"
