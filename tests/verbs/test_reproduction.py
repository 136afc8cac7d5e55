"""The same command and the shown command make equal bytes; what is there is replaced only where nothing is lost."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from advcli.files import imageset_writer
from advcli.files.imageset_reader import ImageSet
from results import columns


@pytest.mark.parametrize(
    "options", [("--batch-size", "1"), ("--batch-size", "7"), ("--part-size", "1"), ("--part-size", "99")], ids=str
)
def test_noise_is_the_same_to_the_bit_in_batches_and_parts_of_any_size(run, model, options):
    command = ("attack", "--method", "noise", "--distribution", "gaussian", "--norm", "l2", "--limit", "130")
    run(*command, "-o", "a.h5")
    run(*command, *options, "-o", "b.h5")
    np.testing.assert_array_equal(columns("a.h5")["images"], columns("b.h5")["images"])
    if options[0] == "--part-size":
        assert Path("a.h5").read_bytes() == Path("b.h5").read_bytes()


def test_parts_of_any_size_give_equal_bytes_also_for_a_search(run, model):
    command = ("attack", "--method", "pgd", "--steps", "3", "--limit", "70", "--batch-size", "16", "--restarts", "2")
    for size in ("1", "2", "50"):
        assert run(*command, "--part-size", size, "-o", f"{size}.h5").code == 0
    assert Path("1.h5").read_bytes() == Path("2.h5").read_bytes() == Path("50.h5").read_bytes()


MAKERS = {
    "train": (["train", "--arch", "mlp", "--hidden", "20,10", "--epochs", "2", "--seed", "3", "-o", "m.safetensors"], "m.safetensors"),
    "attack": (["attack", "--method", "pgd", "--steps", "3", "--eps", "2/255,0.1:0.2:0.05", "--target", "next", "--objective", "margin",
                "--no-random-start", "--limit", "20", "--classes", "3,1,7", "--norm", "l2", "-o", "made here.h5"], "made here.h5"),
    "noise": (["attack", "--method", "noise", "--restarts", "3", "--no-early-stop", "--per-class", "2", "--quantize"], "adversarial.h5"),
    "static": (["attack", "--method", "bim", "--model", "defended.safetensors", "--static", "--limit", "9", "--no-perturbations"], "adversarial.h5"),
    "defend": (["defend", "--method", "average", "--samples", "3", "--eps-max", "1/8", "--average", "vote"], "defended.safetensors"),
    "filter": (["defend", "given.h5", "--method", "average", "--seed", "4"], "given.filtered.h5"),
    "again": (["attack", "--method", "fgsm", "--data", "given.h5", "--limit", "5"], "adversarial.h5"),
    "stats": (["stats", "given.perturbations.h5", "--by", "label,target", "--count", "7", "--bins", "9"],
              "given.perturbations.label,target+bins=9+count=7.stats"),
    "import": (["import", "weights.pt", "--arch", "softmax", "--classes", "a,b,c", "--input", "1x2x2", "--mean", "0.5", "-o", "i.safetensors"], "i.safetensors"),
}  # fmt: skip


def content(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir()} if path.is_dir() else {"": path.read_bytes()}


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_command_twice_and_the_command_that_show_prints_make_equal_bytes(
    run, model, name, tmp_path_factory, monkeypatch
):
    import shlex

    run("defend", "--bits", "2")
    run("attack", "--method", "fgsm", "--limit", "20", "--target", "other", "--eps", "0.1", "-o", "given.h5")
    torch.save({"0.weight": torch.zeros(3, 4), "0.bias": torch.ones(3)}, "plain.pt")
    torch.save({"state_dict": {"module.1.weight": torch.zeros(3, 4), "module.1.bias": torch.ones(3)}}, "weights.pt")
    command, made = MAKERS[name]
    if made == "defended.safetensors":
        Path(made).unlink()
    ran = run(*command)
    assert ran.code == 0, ran.err
    first = content(Path(made))
    if name != "stats":
        again = run(*command)
        assert again.code == 0
        assert "already" in again.err
        assert again.out == ran.out
    story = json.loads(run("show", made, "--json").out)[0]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for path in Path().iterdir():
        if path.name not in (made, f"{Path(made).stem}.perturbations.h5") and path.is_file():
            shutil.copy(path, elsewhere / path.name)
    if name == "stats":
        shutil.copy("given.perturbations.h5", elsewhere / "given.perturbations.h5")
    monkeypatch.chdir(elsewhere)
    assert run(*shlex.split(story["command"])[1:]).code == 0, story["command"]
    assert content(Path(made)) == first


def test_show_says_which_parent_is_missing(run, model):
    run("defend", "--bits", "2")
    model.unlink()
    assert "<sha256:" in run("show", "defended.safetensors").out


def test_outputs_are_replaced_only_where_nothing_is_lost(run, model):
    run("attack", "--method", "fgsm", "--limit", "5")
    ran = run("attack", "--method", "bim", "--limit", "5")
    assert ran.code == 0
    assert "replacing adversarial.h5, fgsm" in ran.err
    assert "advcli attack --method fgsm" in ran.err
    run("attack", "--method", "fgsm", "--limit", "5", "-o", "mine.h5")
    for command in (["attack", "--method", "bim", "--limit", "5", "-o", "mine.h5"], ["train", "--epochs", "1"]):
        before = content(Path(command[-1] if command[-1].endswith("h5") else "model.safetensors"))
        ran = run(*command)
        assert ran.code == 2
        assert "--force" in ran.err
        assert content(Path(command[-1] if command[-1].endswith("h5") else "model.safetensors")) == before
    assert run("attack", "--method", "bim", "--limit", "5", "-o", "mine.h5", "--force").code == 0
    Path("adversarial.h5").write_bytes(b"something else")
    ran = run("attack", "--method", "fgsm", "--limit", "5")
    assert ran.code == 2
    assert Path("adversarial.h5").read_bytes() == b"something else"


def test_the_view_is_rebuilt_where_it_is_missing(run, model):
    run("attack", "--method", "fgsm", "--limit", "5")
    kept = Path("perturbations.h5").read_bytes()
    Path("perturbations.h5").unlink()
    ran = run("attack", "--method", "fgsm", "--limit", "5")
    assert "already" in ran.err
    assert Path("perturbations.h5").read_bytes() == kept


def test_exports_of_the_same_file_are_equal_bytes(run, model):
    run("attack", "--method", "fgsm", "--limit", "3")
    for name, made in (("model.safetensors", "one.pt"), ("adversarial.h5", "one.npz")):
        run("export", name, "-o", made)
        first = Path(made).read_bytes()
        run("export", name, "-o", made, "--force")
        assert Path(made).read_bytes() == first


def test_what_a_command_reads_is_never_its_output(run, model):
    run("attack", "--method", "fgsm", "--limit", "5")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    for command in (
        ["attack", "--method", "bim", "--data", "adversarial.h5"],
        ["attack", "--method", "bim", "--data", "adversarial.h5:test"],
        ["attack", "--method", "bim", "--data", "adversarial.h5", "-o", "adversarial.h5", "--force"],
        ["defend", "adversarial.h5", "-o", "adversarial.h5", "--force"],
        ["defend", "-o", "model.safetensors", "--force"],
    ):
        ran = run(*command)
        assert ran.code == 2, ran.err
        assert "made from" in ran.err
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_a_view_of_another_set_is_not_replaced(run, model):
    run("attack", "--method", "fgsm", "--limit", "5", "-o", "a.h5")
    shutil.copy("a.perturbations.h5", "b.perturbations.h5")
    ran = run("attack", "--method", "bim", "--limit", "5", "-o", "b.h5")
    assert ran.code == 2
    assert "is not derived from b.h5" in ran.err
    assert run("attack", "--method", "bim", "--limit", "5", "-o", "a.h5", "--force").code == 0


def test_show_of_the_view_makes_the_view_again(run, model, tmp_path_factory, monkeypatch):
    import shlex

    for out in (["-o", "adversarial.h5"], [], ["-o", "x.h5"]):
        run("attack", "--method", "fgsm", "--limit", "5", *out)
    names = ["adversarial.perturbations.h5", "perturbations.h5", "x.perturbations.h5"]
    for name in names:
        command = json.loads(run("show", name, "--json").out)[0]["command"]
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        shutil.copy(model, elsewhere / "model.safetensors")
        wanted, here = Path(name).read_bytes(), Path.cwd()
        monkeypatch.chdir(elsewhere)
        assert run(*shlex.split(command)[1:]).code == 0
        assert Path(name).read_bytes() == wanted
        monkeypatch.chdir(here)


def test_show_prints_nothing_that_a_shell_would_run(run, model):
    run("attack", "--method", "fgsm", "--limit", "3")
    with ImageSet("adversarial.h5") as opened:
        header, found = opened.header, {name: opened.column(name) for name in opened.names() if name != "header"}
    header["made"]["options"]["label"] = "</dev/null;id>x"
    header["made"]["method"] = "<(touch PWN)"
    imageset_writer.write_rows(Path("forged.h5"), header, found)
    command = json.loads(run("show", "forged.h5", "--json").out)[0]["command"]
    assert "'<(touch PWN)'" in command
    assert "'</dev/null;id>x'" in command


def test_an_output_with_other_parameters_says_what_changed_and_what_a_makefile_needs(run, model):
    words = ("attack", "--method", "fgsm", "--limit", "10", "-o", "x.h5")
    assert run(*words).code == 0
    ran = run(*words, "--eps", "0.2", "--seed", "3")
    assert ran.code == 2
    assert "made with eps 0.3, now 0.2; seed 0, now 3; use --force to overwrite it" in " ".join(ran.err.split())
    assert "a Makefile" in ran.err
    assert "made with other images; use --force" in run(*words[:-3], "11", "-o", "x.h5").err
