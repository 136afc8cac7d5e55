"""`verify` against lies under a right digest: what it finds, what it says that it did not check, and that it never just says ok."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.evaluation import against_source
from advcli.files.imageset_reader import ImageSet
from conftest import in_memory
from forged import forge


def finding(ran) -> dict:
    return json.loads(ran.out)["files"][0]


@pytest.fixture
def made(run, model):
    assert run("attack", "--method", "fgsm", "--eps", "0.05", "--limit", "30").code == 0
    return "adversarial.h5"


def test_what_was_checked_is_said_and_what_was_not(run, made):
    ran = run("verify", made)
    assert ran.code == 0
    lines = " ".join(ran.out.split())
    assert lines.startswith("adversarial.h5: nothing wrong found")
    for words in (
        "digest", "30 rows, each once, none missing", "linf distances within the budgets", "predictions and successes",
        "digest, network and defenses of model.safetensors",
        "split, places, labels and images of 30 images of digits:test, as its header says: 30 of 500",
        "not checked how the attack ran (method, steps, queries, seed)",
    ):  # fmt: skip
        assert words in lines
    assert "adaptive" not in lines
    assert ": ok" not in lines
    assert finding(run("verify", made, "--json"))["ties"] == 0


def test_without_its_model_and_its_data_it_says_what_is_missing(run, made, tmp_path_factory, monkeypatch):
    def elsewhere(header, found):
        header["made"]["data"]["name"] = "mnist"

    forge(made, elsewhere)
    alone = tmp_path_factory.mktemp("alone")
    Path("forged.h5").rename(alone / "forged.h5")
    monkeypatch.chdir(alone)
    monkeypatch.setenv("ADVCLI_DATA", str(alone))
    ran = run("verify", "forged.h5", "--json")
    assert ran.code == 0
    told = finding(ran)["unchecked"]
    assert any("its model is not here (give --model)" in one for one in told)
    assert any(one.startswith("images and labels against their source, and which images were left out") for one in told)
    assert not any("digits" in one or "mnist:test" in one for one in finding(ran)["checked"])


def test_an_attack_that_is_called_adaptive_is_a_word_of_the_header(run, model):
    run("defend", "--bits", "2")
    run("attack", "--method", "fgsm", "--eps", "0.05", "--limit", "20", "--model", "defended.safetensors", "-o", "a.h5")
    assert any("is adaptive" in one for one in finding(run("verify", "a.h5", "--json"))["unchecked"])
    run(
        "attack",
        "--method",
        "fgsm",
        "--eps",
        "0.05",
        "--limit",
        "20",
        "--model",
        "defended.safetensors",
        "--static",
        "-o",
        "s.h5",
    )
    ran = run("verify", "s.h5", "--json")
    assert ran.code == 0
    assert not any("is adaptive" in one for one in finding(ran)["unchecked"])


def drop_unbroken_from_the_start(header, found):
    """Half of the images are gone, originals and all."""
    kept = np.flatnonzero(found["original"] % 2 == 0)
    found = {key: value[kept] for key, value in found.items() if key != "originals"} | {"originals": found["originals"][::2]}
    return header, {**found, "original": np.arange(len(kept))}


def other_picture(header, found):
    for name in ("images", "originals"):
        found[name][4] = found[name][5]


def other_label(header, found):
    found["labels"][4] = (found["labels"][4] + 1) % 10


def other_place(header, found):
    found["index"][4] = 499


def no_such_place(header, found):
    found["index"][4] = 5000


def other_split(header, found):
    header["split"] = "val"


def other_classes(header, found):
    header["classes"] = header["classes"][1:] + header["classes"][:1]


def other_limit(header, found):
    header["made"]["data"]["limit"] = 40


def strange_class(header, found):
    header["made"]["data"]["classes"] = "3,eleven"


LIES = {
    drop_unbroken_from_the_start: "holds 15 of the 30 images that its header takes of digits:test; 15 are left out",
    other_picture: "row 4: its original differs from the source's image by up to",
    other_label: "row 4: is called",
    other_place: "row 4: image 499 is none of those that the header takes of digits:test",
    no_such_place: "row 4: image 5000 is none of those",
    other_split: "header: split is val, its images come from digits:test",
    other_classes: "the source calls it",
    other_limit: "holds 30 of the 40 images",
    strange_class: "header: the images that it names cannot be taken",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda one: one.__name__)
def test_the_data_at_hand_find_lies(lie, run, made):
    forged = forge(made, lie)
    ran = run("verify", forged, "--json")
    assert ran.code == 1
    assert any(LIES[lie] in one for one in finding(ran)["wrong"]), finding(ran)["wrong"]


def test_an_image_is_looked_for_in_a_source_of_any_size():
    """Its place there, or that it is not there; in a source of one image too."""
    x = torch.rand(3, 1, 2, 2)
    whole = replace(in_memory(x, torch.zeros(3), 2), index=np.array([7, 3, 5]))
    assert against_source._places(np.array([5, 7, 4, 9, 3]), whole).tolist() == [2, 0, -1, -1, 1]
    one = replace(in_memory(x[:1], torch.zeros(1), 2), index=np.array([3]))
    assert against_source._places(np.array([2, 3, 9]), one).tolist() == [-1, 0, -1]


def test_the_data_can_be_given_and_must_be_those_of_the_header(run, made):
    forge(made, other_label)
    for words in (["--data", "digits"], ["--data", "digits:test"], []):
        assert run("verify", made, *words).code == 0
        assert run("verify", "forged.h5", *words).code == 1
    assert run("import", "nothing.npz").code == 3
    with ImageSet(made) as opened:
        np.savez("other.npz", images=opened.rows("originals", 0, 30).numpy(), labels=opened.column("labels"))
    ran = run("verify", made, "--data", "other.npz")
    assert ran.code == 3
    assert "was made from digits, not from other.npz" in ran.err


def test_sets_of_files_and_folders_find_their_source_by_content(run, made):
    with ImageSet(made) as opened:
        images, labels = opened.rows("originals", 0, 30).numpy(), opened.column("labels")
    np.savez("own.npz", images=images, labels=labels, classes=np.array(list("0123456789")))
    run("attack", "--method", "fgsm", "--eps", "0.05", "--data", "own.npz", "--limit", "20", "-o", "of_npz.h5")
    run("attack", "--method", "fgsm", "--eps", "0.05", "--data", made, "-o", "again.h5")
    run("import", "own.npz", "-o", "clean.h5")
    for name, count in (("of_npz.h5", "20 of 30"), ("again.h5", "all of them"), ("clean.h5", "all of them")):
        ran = run("verify", name, "--json")
        assert ran.code == 0, ran.out
        assert any("labels and images of" in one and one.endswith(count) for one in finding(ran)["checked"])
    forge("clean.h5", lambda header, found: found["images"].__setitem__(3, 0.5))
    assert any("row 3: its original differs" in one for one in finding(run("verify", "forged.h5", "--json"))["wrong"])
    forge("again.h5", lambda header, found: found["originals"].__setitem__(3, 0.5))
    assert any("row 3: its original differs" in one for one in finding(run("verify", "forged.h5", "--json"))["wrong"])


def call_it_adaptive(header, found):
    header["victim"]["static"] = False


def call_it_defended(header, found):
    header["victim"]["defenses"] = [{"name": "jpeg", "parameters": {}}]


def call_it_bare(header, found):
    header["victim"]["defenses"] = []


def another_network(header, found):
    header["victim"]["network"] = "0" * 64


VICTIMS = {
    call_it_adaptive: "header: victim.static is not what made.options says",
    call_it_defended: "header: victim.defenses (jpeg) are not those of defended.safetensors (squeeze)",
    call_it_bare: "header: victim.defenses (none) are not those of defended.safetensors (squeeze)",
    another_network: "header: victim.network is not that of defended.safetensors",
}


@pytest.mark.parametrize("lie", VICTIMS, ids=lambda one: one.__name__)
def test_what_the_header_says_of_its_model_is_compared_with_the_model(lie, run, model):
    run("defend", "--bits", "2")
    run(
        "attack", "--method", "fgsm", "--eps", "0.1", "--limit", "20", "--model", "defended.safetensors", "--static", "-o", "s.h5"
    )
    forge("s.h5", lie)
    ran = run("verify", "forged.h5", "--json")
    assert ran.code == 1
    assert VICTIMS[lie] in finding(ran)["wrong"]
    if lie is not call_it_adaptive:
        ran = run("evaluate", "forged.h5", "--model", "defended.safetensors")
        assert ran.code == 3
        assert VICTIMS[lie] in ran.err


def test_evaluate_says_where_stored_predictions_are_not_the_models(run, model):
    """A static set that calls itself adaptive: consistent in its header, and betrayed by its predictions."""
    run("defend", "--method", "gaussian", "--sigma", "1.5")
    run(
        "attack", "--method", "fgsm", "--eps", "0.1", "--limit", "60", "--model", "defended.safetensors", "--static", "-o", "s.h5"
    )

    def consistent(header, found):
        header["victim"]["static"] = header["made"]["options"]["static"] = False

    forge("s.h5", consistent)
    with ImageSet("s.h5") as opened:
        stored = opened.column("prediction")
    row = json.loads(run("evaluate", "forged.h5", "--model", "defended.safetensors", "--json").out)["rows"][0]
    assert row["threat"]["knowledge"] == "adaptive"
    (note,) = row["threat"]["notes"]
    assert note.endswith(f"of {len(stored)} predictions in the file are not this model's; advcli verify shows them")
    assert int(note.split()[0]) > 1
    row = json.loads(run("evaluate", "s.h5", "--model", "defended.safetensors", "--json").out)["rows"][0]
    assert not any("not this model's" in one for one in row["threat"]["notes"])


def test_a_substitute_is_compared_with_its_file(run, model):
    run("attack", "--method", "substitute", "--eps", "0.1", "--limit", "10", "-o", "sub.h5")
    assert any("sub.substitute.safetensors" in one for one in finding(run("verify", "sub.h5", "--json"))["checked"])

    def lie(header, found):
        header["source"]["network"] = header["victim"]["network"]

    forge("sub.h5", lie)
    wrong = finding(run("verify", "forged.h5", "--json"))["wrong"]
    assert wrong == ["header: source.network is not that of sub.substitute.safetensors"]


def test_an_attack_that_never_moved_is_reported(run, made):
    def still(header, found):
        found["images"][:] = found["originals"][found["original"]]
        found["prediction"], found["success"][:] = found["clean_prediction"].copy(), 0
        return header, found

    forge(made, still)
    ran = run("verify", "forged.h5", "--json")
    assert ran.code == 0, ran.out
    (told,) = (one for one in finding(ran)["unchecked"] if "whether the attack tried" in one)
    held = int(told.split("of the ")[1].split()[0])
    assert told.startswith(f"whether the attack tried: {held} of the {held} rows that it did not break are unchanged originals")
    assert held > 20
    assert not any("tried" in one for one in finding(run("verify", made, "--json"))["unchecked"])


def test_the_help_says_what_verify_and_show_take(run):
    said = " ".join(run("verify", "--help").out.replace("│", " ").split())
    assert "Model files and image-set files." in said
    assert "[default: model.safetensors]" not in said
    assert "the file with its digest, here or beside the set" in said
    assert "Model files and image-set files." in " ".join(run("show", "--help").out.replace("│", " ").split())
