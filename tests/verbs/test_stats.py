"""`stats`: its tables against NumPy's, which rows they are of, and the folders that they go to."""

import csv
import json
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import attacked_set
from advcli.evaluation import selected_rows
from advcli.files import imageset_writer

QUANTILES = ("p5", "p25", "median", "p75", "p95")
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


def columns(name: str) -> dict[str, np.ndarray]:
    with h5py.File(name) as file:
        return {key: file[key][:] for key in file}


def told(ran) -> dict:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def one(found: list[dict], **wanted) -> dict:
    (row,) = [row for row in found if all(row[k] == v for k, v in wanted.items())]
    return row


def table(path: str) -> list[dict]:
    with open(path) as file:
        return list(csv.DictReader(file))


def sizes(p: np.ndarray) -> dict[str, np.ndarray]:
    p = p.astype(np.float64).reshape(len(p), -1)
    return {"l0": (p != 0).sum(1), "l1": np.abs(p).sum(1), "l2": np.sqrt((p**2).sum(1)), "linf": np.abs(p).max(1)}


def test_statistics_are_numpys(run, model):
    run("attack", "--method", "pgd", "--steps", "3", "--eps", "0.1,0.2", "--limit", "120")
    made = columns("perturbations.h5")
    found = told(run("stats", "--json"))
    attacked = made["clean_prediction"] == made["labels"]
    assert not attacked.all()
    for eps in ("0.1", "0.2"):
        here = np.isclose(made["epsilon"], float(eps))
        counts = one(found["counts"], epsilon=eps)
        won = made["success"][here].sum()
        assert [counts[k] for k in ("n", "never_attacked", "failures", "successes")] == [
            120, (here & ~attacked).sum(), (here & attacked).sum() - won, won
        ]  # fmt: skip
        mine = made["images"][here & attacked]
        for norm, values in sizes(mine).items():
            row = one(found["rows"], epsilon=eps, norm=norm)
            assert (row["rows"], row["n"]) == ("attacked", (here & attacked).sum())
            wanted = [values.mean(), values.std(), values.min(), *np.quantile(values, SHARES), values.max()]
            given = [row["mean"], row["std"], row["min"], *(row[k] for k in QUANTILES), row["max"]]
            np.testing.assert_allclose(given, wanted, atol=1e-9)
        row = one(found["rows"], epsilon=eps, of="perturbations")
        assert row["n"] == mine.size
        np.testing.assert_allclose([row["mean"], row["std"]], [mine.mean(dtype=float), mine.std(dtype=float)], atol=1e-9)
        within = row["quantiles_within"] + 1e-7
        np.testing.assert_allclose([row[k] for k in QUANTILES], np.quantile(mine.astype(float), SHARES), atol=within)
    for name in ("counts", "statistics"):
        assert table(f"perturbations.stats/{name}.csv")
    for name in ("sheet.png", "norms.png", "values.png"):
        with Image.open(f"perturbations.stats/{name}") as picture:
            picture.verify()


def test_statistics_by_group_leave_empty_groups_out_and_obey_where(run, model):
    run("attack", "--method", "fgsm", "--target", "next", "--limit", "30", "--eps", "0.1")
    found = told(run("stats", "adversarial.h5", "--by", "label,target", "--rows", "all", "--json"))["rows"]
    l2 = [row for row in found if row["norm"] == "l2"]
    assert len(l2) == 10  # of 100 pairs of classes
    assert all(row["n"] == 3 for row in l2)
    assert {row["of"] for row in found} == {"norm", "images", "originals", "perturbations", "queries", "gradients"}
    some = told(run("stats", "adversarial.h5", "--where", "label=3,target=4", "--rows", "all", "--json"))["rows"]
    assert one(some, norm="l2")["n"] == one(l2, label="3", target="4")["n"]


@pytest.mark.parametrize("most", [10_000, 50], ids=["all groups at first", "those with rows"])
def test_the_numbers_of_every_group_are_numpys(run, model, monkeypatch, most):
    monkeypatch.setattr(selected_rows, "MOST_GROUPS", most)
    run("attack", "--method", "fgsm", "--limit", "200", "--eps", "0.05,0.1")
    made, found = columns("adversarial.h5"), told(run("stats", "adversarial.h5", "--by", "label,prediction", "--json"))
    attacked = made["clean_prediction"] == made["labels"]
    p = made["images"] - made["originals"][made["original"]]
    lines = [row for row in found["rows"] if row["norm"] == "l1"]
    assert 0 < len(lines) < 100
    assert all(row["n"] > 0 for row in [*lines, *found["counts"]])
    assert sum(row["n"] for row in lines) == attacked.sum()
    for row in lines:
        mine = attacked & np.isclose(made["epsilon"], float(row["epsilon"]))
        mine &= (made["labels"] == int(row["label"])) & (made["prediction"] == int(row["prediction"]))
        assert row["n"] == mine.sum()
        assert row["median"] == pytest.approx(np.median(sizes(p[mine])["l1"]), abs=1e-9)


def minimal(path: str) -> dict[str, np.ndarray]:
    """Of ten images three were wrong from the start and one resisted; the rest lie 0.1 to 0.6 from their originals."""
    images = np.full((10, 1, 1, 1), 0.5)
    images[4:, 0, 0, 0] = np.linspace(0.6, 1.0, 6)
    success = np.array([0] * 4 + [1] * 6, np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    given = {"images": images, "labels": labels, "success": success, "clean_prediction": np.where(np.arange(10) < 3, (labels + 1) % 3, labels),
             "queries": np.array([0, 0, 0, 50, 1, 2, 3, 4, 5, 6])}  # fmt: skip
    attacked_set.write(path, given)
    return given


def test_norms_of_a_minimal_norm_set_are_of_its_successes(run, folder):
    """A mean over rows that were never attacked, which hold their originals, makes a model look easier to fool."""
    images = minimal("cw.h5")["images"][:, 0, 0, 0]
    ran = run("stats", "cw.h5", "--json")
    found = told(ran)
    row = one(found["rows"], norm="l2")
    assert (row["rows"], row["n"]) == ("successes", 6)
    assert row["mean"] == pytest.approx((images[4:] - 0.5).mean(), abs=1e-6)
    assert row["median"] == pytest.approx(np.median(images[4:] - 0.5), abs=1e-6)
    counts = found["counts"][0]
    assert [counts[k] for k in ("n", "never_attacked", "failures", "successes")] == [10, 3, 1, 6]
    assert "6 of 10 rows (successes)" in ran.err
    for name, count in {"attacked": 7, "failures": 1, "all": 10}.items():
        row = one(told(run("stats", "cw.h5", "--rows", name, "--count", "0", "--json"))["rows"], norm="l2")
        assert (row["rows"], row["n"]) == (name, count)
    text = run("stats", "cw.h5").out
    assert "never attacked" in text
    assert "successes" in text


def test_costs_are_of_attacked_images(run, folder):
    minimal("cw.h5")
    row = one(told(run("stats", "cw.h5", "--json"))["rows"], of="queries")
    assert (row["rows"], row["n"], row["median"], row["max"]) == ("attacked images", 7, 4, 50)
    assert row["mean"] == pytest.approx(71 / 7)
    row = one(told(run("stats", "cw.h5", "--rows", "successes", "--count", "0", "--json"))["rows"], of="queries")
    assert (row["rows"], row["n"], row["median"], row["max"]) == ("successes images", 6, 3.5, 6)


def test_what_is_charged_once_for_several_budgets_is_counted_once(run, model):
    run("attack", "--method", "bim", "--steps", "4", "--no-early-stop", "--eps", "0.1,0.2,0.3", "--limit", "100")
    made = columns("adversarial.h5")
    found = told(run("stats", "adversarial.h5", "--by", "label,prediction", "--json"))["rows"]
    paid = [row for row in found if row["of"] == "gradients"]
    attacked = made["clean_prediction"][::3] == made["labels"][::3]
    assert {(row["epsilon"], row["prediction"]) for row in paid} == {("all", "all")}
    assert sum(row["n"] for row in paid) == attacked.sum()
    assert {row["median"] for row in paid} == {12}


def test_clean_images_have_no_outcomes(run, model):
    run("attack", "--method", "fgsm", "--limit", "4")
    header = {**attacked_set.HEADER, "kind": "clean"}
    imageset_writer.write_rows(Path("c.h5"), header, {"images": np.full((3, 1, 2, 2), 0.25, np.float32), "labels": np.arange(3),
                                                      "index": np.arange(3)})  # fmt: skip
    found = told(run("stats", "c.h5", "--json"))
    assert found["counts"] == [{"set": "c.h5", "epsilon": "-", "n": 3}]
    assert {row["rows"] for row in found["rows"]} == {"all"}
    assert one(found["rows"], norm="l1")["mean"] == 1
    ran = run("stats", "c.h5", "--rows", "failures")
    assert ran.code == 2
    assert "was not made by an attack" in ran.err


def test_a_second_command_leaves_the_tables_of_the_first_alone(run, folder):
    minimal("cw.h5")
    assert run("stats", "cw.h5").code == 0
    first = {path: path.read_bytes() for path in Path("cw.stats").iterdir()}
    for options in (["--where", "label=a"], ["--count", "9"], ["--figure", "sheet"]):
        ran = run("stats", "cw.h5", *options, "--json")
        (other,) = told(ran)["folders"]
        assert other != "cw.stats"
        assert options[1].partition("=")[2] in other
        (story,) = told_stories(run("show", other, "--json"))
        assert " ".join(map(shlex.quote, options)) in story["command"]
        ran = run("stats", "cw.h5", *options, "-o", "cw.stats")
        assert ran.code == 2
        assert "advcli stats cw.h5" in ran.err
        assert "--force" in ran.err
    assert {path: path.read_bytes() for path in Path("cw.stats").iterdir()} == first
    assert run("stats", "cw.h5").code == 0


def told_stories(ran) -> list[dict]:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_a_folders_name_stays_short_and_plain(run, folder):
    minimal("cw.h5")
    (name,) = told(run("stats", "cw.h5", "--where", "label=a,success=0/1", "--json"))["folders"]
    assert name == "cw.label=a,success=0-1.stats"
    where = ",".join(["label=a"] * 20)
    (name,) = told(run("stats", "cw.h5", "--where", where, "--json"))["folders"]
    assert len(name) < 80
    assert Path(name).is_dir()


def test_a_folder_is_replaced_whole_and_only_where_nothing_is_lost(run, folder):
    minimal("cw.h5")
    quick = ("--figure", "sheet", "--count", "0", "-o", "mine")
    assert run("stats", "cw.h5", *quick, "--by", "label").code == 0
    ran = run("stats", "cw.h5", *quick, "--by", "label")
    assert ran.code == 0
    assert "already exists, made by the same command" in ran.err
    first = {path.name for path in Path("mine").iterdir()}
    Path("mine/counts.csv").unlink()
    assert run("stats", "cw.h5", *quick, "--by", "label").code == 0
    assert {path.name for path in Path("mine").iterdir()} == first
    Path("mine/statistics.csv").write_text("changed")
    Path("mine/notes.txt").write_text("mine")
    ran = run("stats", "cw.h5", *quick, "--by", "label")
    assert ran.code == 2
    assert "notes.txt" in ran.err
    assert Path("mine/notes.txt").exists()
    attacked_set.write("clean.h5", {"images": np.full((2, 1, 1, 1), 0.5), "labels": np.arange(2)})
    assert run("stats", "clean.h5", "--figure", "norms", "-o", "mine", "--force").code == 0
    assert not {"notes.txt", "sheet.png"} & {path.name for path in Path("mine").iterdir()}
    assert not list(Path().glob(".mine*"))


@pytest.mark.parametrize("force", [[], ["--force"]], ids=str)
def test_a_folder_of_somebody_elses_is_never_touched(run, folder, monkeypatch, force):
    minimal("cw.h5")
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").write_text("one")
    Path("paper.txt").write_text("two")
    for name in ("thesis", "paper.txt"):
        ran = run("stats", "cw.h5", "--count", "0", "-o", name, *force)
        assert ran.code == 2
        assert "-o" in ran.err
    assert [path.name for path in Path("thesis").iterdir()] == ["chapter.txt"]
    assert Path("paper.txt").read_text() == "two"
    Path("empty").mkdir()
    assert run("stats", "cw.h5", "--count", "0", "-o", "empty").code == 0
    Path("inner").mkdir()
    monkeypatch.chdir("inner")
    assert run("stats", "../cw.h5", "--count", "0", "-o", ".", *force).code == 2
