"""The training loop: what every option does, the same bits after an interruption, and what stays frozen."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from advcli.catalog import discovery, torchvision_names
from advcli.files import atomic
from advcli.networks import model_file, torchvision_models
from advcli.numerics.rng import SampleRNG
from advcli.training.augmentation import augmented
from advcli.training.optimizer import lr_factor
from faults import Interrupting
from photographs import photographs

QUICK = ["train", "--arch", "mlp", "--hidden", "16", "--limit", "200", "--epochs", "4"]
WAYS = {
    "adam": [],
    "sgd": ["--optimizer", "sgd", "--schedule", "onecycle", "--weight-decay", "0.001"],
    "adamw": ["--optimizer", "adamw", "--schedule", "cosine", "--clip", "0.5"],
    "averaged": ["--ema", "0.9", "--keep", "best", "--augment", "crop,flip"],
    "filtered": ["--preprocess", "gaussian:sigma=1", "--dropout", "0.3", "--schedule", "step"],
    "noisy filter": ["--preprocess", "squeeze:bits=2", "--label-smoothing", "0.1"],
    "normalised": ["--mean", "0.3", "--std", "0.4", "--precision", "bfloat16"],
    "batch norm": ["--arch", "resnet18", "--width", "4"],
}


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_training_ends_with_the_same_weights_to_the_bit(way, run, folder, monkeypatch):
    command = [*QUICK, *WAYS[way]]
    if way == "batch norm":
        command = [word for word in command if word not in ("--hidden", "16")]
        command[command.index("--arch") : command.index("--arch") + 2] = []
    assert run(*command, "-o", "whole.safetensors").code == 0
    assert run(*command, "-o", "twice.safetensors").code == 0
    assert Path("whole.safetensors").read_bytes() == Path("twice.safetensors").read_bytes()
    monkeypatch.setattr(atomic, "calls", Interrupting())
    assert run(*command, "-o", "cut.safetensors").code == 130
    assert not Path("cut.safetensors").exists()
    monkeypatch.setattr(atomic, "calls", atomic.Calls())
    ran = run(*command, "-o", "cut.safetensors")
    assert "resuming after epoch 2 of 4" in ran.err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    assert not Path("cut.safetensors.parts").exists()


def log(name="model"):
    return [json.loads(line) for line in Path(f"{name}.log.jsonl").read_text().splitlines()]


def test_the_log_has_a_line_for_each_epoch(run, folder):
    run(*QUICK)
    lines = log()
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert all(line["images"] == 200 and line["seconds"] > 0 and line["val"]["n"] == 130 for line in lines)


def test_every_setting_changes_the_weights_and_is_recorded(run, folder):
    seen = {}
    for number, (way, words) in enumerate(WAYS.items()):
        if way != "batch norm":
            assert run(*QUICK, *words, "-o", f"m{number}.safetensors").code == 0
            found = model_file.read(f"m{number}.safetensors")
            seen[way] = found.metadata["weights"]
    assert len(set(seen.values())) == len(seen)
    shown = run("show", "m1.safetensors").out
    for word in ("--optimizer sgd", "--schedule onecycle", "--weight-decay 0.001"):
        assert word in shown
    assert model_file.read("m4.safetensors").defenses == [{"name": "gaussian", "parameters": {"sigma": 1.0}}]


def test_stop_at_looks_at_validation_and_stops_within_the_epoch(run, folder):
    """S3-T1: it stops by validation images, never by test images."""
    assert run("train", "--arch", "mlp", "--stop-at", "0.8", "--epochs", "30").code == 0
    lines = log()
    assert len(lines) < 30
    assert lines[-1]["val"]["k"] >= 0.8 * 130
    assert lines[-1]["images"] < 1167  # in the middle of an epoch
    figure = model_file.read("model.safetensors").metadata["figures"]["accuracy"]
    assert (figure["split"], figure["chosen_by"], figure["k"]) == ("val", "stop-at", lines[-1]["val"]["k"])


def test_patience_ends_a_training_that_does_not_get_better(run, folder):
    assert run("train", "--arch", "softmax", "--lr", "0", "--epochs", "20", "--patience", "3").code == 0
    assert len(log()) == 4


def test_the_best_epoch_is_kept_and_the_header_says_so(run, folder):
    words = ["--arch", "mlp", "--lr", "0.3", "--limit", "300", "--epochs", "6"]  # too fast: the last is seldom the best
    for seed in range(10):
        assert run("train", *words, "--keep", "best", "--seed", str(seed), "--force").code == 0
        counts = [line["val"]["k"] for line in log()]
        if max(counts) > counts[-1]:
            break
    assert max(counts) > counts[-1]
    figure = model_file.read("model.safetensors").metadata["figures"]["accuracy"]
    assert (figure["k"], figure["chosen_by"]) == (max(counts), "best epoch")
    rows = json.loads(run("evaluate", "--data", "digits:val", "--json").out)["rows"]
    assert rows[0]["k"] == max(counts)


def test_only_a_lack_of_pictures_means_no_validation(run, folder):
    photographs(Path("photos"), splits=("train", "test"), count=2, size=16, kind="png")
    words = ["train", "--data", "photos", "--arch", "mlp", "--epochs", "1"]
    assert run(*words).code == 0  # a tenth of four pictures is none
    assert log()[0]["val"] == {"k": 0, "n": 0}
    photographs(Path("photos"), splits=("val",), count=2, size=16, kind="png")
    Path("photos/val/a/0.png").write_bytes(b"no picture")
    ran = run(*words, "-o", "other.safetensors")
    assert ran.code == 3
    assert "photos/val/a/0.png" in ran.err


@pytest.mark.parametrize("command", [["--augment", "shake"], ["--preprocess", "average"], ["--preprocess", "gaussian:sgma=2"],
                                     ["--preprocess", "nothing"], ["--freeze-until", "nowhere"], ["--mean", "1,2"], ["--std", "0"],
                                     ["--stop-at", "1.5"], ["--momentum", "0.5"], ["--ema", "1"], ["--weights", "a.pt", "--pretrained"]])  # fmt: skip
def test_a_wrong_setting_is_refused_before_the_first_step(run, folder, command):
    ran = run(*QUICK, *command)
    assert ran.code in (2, 3)
    assert not list(folder.iterdir())


def test_the_filter_of_training_is_part_of_the_model(run, folder):
    assert run("train", "--arch", "mlp", "--preprocess", "gaussian:sigma=1", "--epochs", "12").code == 0
    whole, bare = model_file.read("model.safetensors").module(), model_file.read("model.safetensors").module(static=True)
    x = torch.rand(4, 1, 8, 8)
    blurred = discovery.spec("defense", "gaussian").bind({"sigma": 1.0})(nn.Identity()).filter(x, SampleRNG(0, torch.arange(4)))
    with torch.no_grad():
        assert torch.allclose(whole(x), bare(blurred), atol=1e-6)
        assert not torch.allclose(whole(x), bare(x), atol=1e-2)
    run("attack", "--method", "pgd", "--steps", "5", "--eps", "0.1", "-o", "adaptive.h5")
    run("attack", "--method", "pgd", "--steps", "5", "--eps", "0.1", "--static", "-o", "static.h5")
    rows = json.loads(run("evaluate", "adaptive.h5", "static.h5", "--json").out)["rows"]
    left = {row["set"]: row["k"] for row in rows if row["metric"] == "accuracy"}
    assert left["adaptive.h5"] <= left["static.h5"] + 5


def test_augmented_pictures_are_cuts_and_mirrors_of_their_own():
    """S2-M2: crops and mirrors."""
    x = torch.rand(40, 2, 8, 6) + 0.5
    rng = SampleRNG(0, torch.arange(40), ("a",))
    mirrored = augmented(x, ("flip",), rng)
    same = (mirrored == x).flatten(1).all(1)
    other = (mirrored == x.flip(3)).flatten(1).all(1)
    assert (same ^ other).all()
    assert 8 < int(same.sum()) < 32
    cut = augmented(x, ("crop",), rng)
    assert cut.shape == x.shape
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    for one, wide in zip(cut, padded, strict=True):
        assert any(torch.equal(one, wide[:, i : i + 8, j : j + 6]) for i in range(3) for j in range(3))
    assert torch.equal(augmented(x[7:9], ("crop", "flip"), rng[torch.tensor([7, 8])]), augmented(x, ("crop", "flip"), rng)[7:9])


@pytest.mark.parametrize(
    ("schedule", "first", "middle", "last"),
    [("constant", 1, 1, 1), ("step", 1, 0.1, 0.01), ("cosine", 1, 0.5, 0), ("onecycle", 0.04, 0.81, 0.001)],
)
def test_the_courses_of_the_learning_rate(schedule, first, middle, last):
    found = [lr_factor(schedule, step, 100) for step in (0, 50, 100)]
    np.testing.assert_allclose(found, [first, middle, last], atol=0.01)


NETWORKS = ["wide_resnet50_2", "googlenet", "inception_v3"]


@pytest.mark.parametrize("arch", NETWORKS)
def test_large_classifiers_build_train_save_load_and_evaluate(arch, run, folder):
    """S1-T1: frozen layers stay to the bit, and auxiliary heads are trained."""
    size = "299" if arch == "inception_v3" else "224"
    photographs(Path("photos"), count=4)
    command = [
        "train",
        "--data",
        "photos",
        "--arch",
        arch,
        "--resize",
        size,
        "--image-size",
        size,
        "--epochs",
        "1",
        "--batch-size",
        "4",
    ]
    until = {"wide_resnet50_2": "layer4", "googlenet": "inception5a", "inception_v3": "AuxLogits"}[arch]
    ran = run(*command, "--freeze-until", until)
    assert ran.code == 0, ran.err
    found = model_file.read("model.safetensors")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = torchvision_models.build(arch, (3, int(size), int(size)), 2).state_dict()
    names = [name for name, _ in torchvision_models.build(arch, (3, int(size), int(size)), 2).named_children()]
    early = [name for name in start if names.index(name.split(".")[0]) < names.index(until)]
    late = [name for name in start if name not in early and start[name].is_floating_point()]
    assert all(torch.equal(start[name], found.tensors[name]) for name in early)
    assert any(not torch.equal(start[name], found.tensors[name]) for name in late)
    side = [name for name in late if "aux" in name.lower() and name.endswith("weight")]
    assert bool(side) == (arch != "wide_resnet50_2")
    frozen_side = [name for name in side if name in early]
    assert all(not torch.equal(start[name], found.tensors[name]) for name in side if name not in frozen_side)
    with torch.no_grad():
        assert found.module()(torch.rand(2, *found.shape)).shape == (2, 2)
    assert run("evaluate").code == 0


def test_a_new_head_for_another_number_of_classes(run, folder):
    assert run("train", "--arch", "mlp", "--epochs", "3").code == 0
    ran = run(
        "train",
        "--arch",
        "mlp",
        "--classes",
        "3,5",
        "--weights",
        "model.safetensors",
        "--lr",
        "0",
        "--epochs",
        "1",
        "-o",
        "two.safetensors",
    )
    assert ran.code == 0, ran.err
    assert "newly initialised: 4" in ran.err
    before, after = model_file.read("model.safetensors").tensors, model_file.read("two.safetensors").tensors
    assert torch.equal(before["1.weight"], after["1.weight"])
    assert after["4.weight"].shape == (2, 64)
    assert run("train", "--arch", "cnn", "--weights", "model.safetensors", "-o", "x.safetensors").code == 3
    assert run("train", "--weights", "nowhere.pt", "-o", "x.safetensors").code == 3


def test_published_weights_are_taken_from_their_folder_and_never_fetched_unasked(run, folder, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder / "hub"))
    photographs(Path("photos"), count=3)
    command = [
        "train",
        "--data",
        "photos",
        "--arch",
        "resnet34",
        "--pretrained",
        "--resize",
        "64",
        "--image-size",
        "64",
        "--epochs",
        "1",
        "--lr",
        "0",
    ]
    ran = run(*command)
    assert ran.code == 3
    assert "fetch them with --download" in ran.err
    import torchvision.models

    published = torchvision.models.get_model("resnet34", weights=None)
    path = folder / "hub" / "checkpoints" / torchvision.models.get_model_weights("resnet34").DEFAULT.url.rsplit("/", 1)[-1]
    path.parent.mkdir(parents=True)
    torch.save(published.state_dict(), path)
    ran = run(*command)
    assert ran.code == 0, ran.err
    assert "newly initialised: fc" in ran.err
    assert torch.equal(model_file.read("model.safetensors").tensors["conv1.weight"], published.conv1.weight)
    assert run("train", "--arch", "cnn", "--pretrained", "-o", "x.safetensors").code == 2


@pytest.mark.parametrize("arch", ["resnet34", "googlenet"])
def test_published_weights_see_pixels_as_torchvision_prepares_them(arch, run, folder, monkeypatch):
    """On stand-ins: networks of theirs with fresh weights, under the published name."""
    import torchvision.models

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder / "hub"))
    photographs(Path("photos"), count=3)
    published = torchvision.models.get_model_weights(arch).DEFAULT
    path = folder / "hub" / "checkpoints" / published.url.rsplit("/", 1)[-1]
    path.parent.mkdir(parents=True)
    own = {"transform_input": True, "init_weights": False} if arch == "googlenet" else {}  # as they build it for these weights
    theirs = torchvision.models.get_model(arch, weights=None, **own).eval()
    torch.save(theirs.state_dict(), path)
    words = ["--resize", "96", "--image-size", "96", "--epochs", "1", "--lr", "0", "--freeze-until", "fc"]
    ran = run("train", "--data", "photos", "--arch", arch, "--pretrained", *words)
    assert ran.code == 0, ran.err
    model = model_file.read("model.safetensors")
    x = torch.rand(4, 3, 96, 96)
    prepared = published.transforms()
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (prepared.mean, prepared.std))
    theirs.fc.weight.data, theirs.fc.bias.data = model.tensors["fc.weight"], model.tensors["fc.bias"]  # for two classes
    with torch.no_grad():
        wanted = theirs((x - mean) / std)
        torch.testing.assert_close(model.module()(x), wanted, atol=1e-4 * float(wanted.abs().max()), rtol=0)


def test_published_weights_with_a_normalisation_of_their_own_keep_it():
    assert torchvision_models.normalize("efficientnet_v2_l") == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert torchvision_models.normalize("vit_b_16") == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def test_weights_of_a_model_file_bring_their_normalisation(run, folder):
    assert run("train", "--arch", "mlp", "--mean", "0.3", "--std", "0.4", "--epochs", "1").code == 0
    more = ["--arch", "mlp", "--weights", "model.safetensors", "--lr", "0", "--epochs", "1"]
    assert run("train", *more, "-o", "next.safetensors").code == 0
    assert model_file.read("next.safetensors").metadata["normalize"] == model_file.read("model.safetensors").metadata["normalize"]
    assert run("train", *more, "--std", "1", "-o", "other.safetensors").code == 0
    found = model_file.read("other.safetensors").metadata["normalize"]
    assert (round(found["mean"][0], 6), found["std"]) == (0.3, [1.0])


def test_the_names_of_torchvision_are_those_that_it_registers():
    import torchvision.models

    assert set(torchvision_names.names()) == set(torchvision.models.list_models(module=torchvision.models))


def test_torchvisions_resnet_fits_ours(folder):
    import torchvision.models

    theirs = torchvision.models.resnet18(weights=None, num_classes=5).eval()
    ours = discovery.spec("architecture", "resnet18").bind({})((3, 224, 224), 5)
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(ours.eval()(x), theirs(x))


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("wrn-16-2", 691_674),
        ("wrn-10-2", 303_706),
        ("cleverhans-basic", 709_898),
        ("lenet", 61_706),
        ("resnet18", 11_173_962),
        ("googlenet-small", 902_834),
    ],
)
def test_the_small_nets_have_the_sizes_that_papers_and_older_files_give_them(name, weights):
    shape = (1, 28, 28) if name in ("cleverhans-basic", "lenet") else (3, 32, 32)
    net = discovery.spec("architecture", name).bind({})(shape, 10)
    count = sum(one.numel() for one in net.parameters())
    assert count == weights
    assert net(torch.rand(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 33, 40)])
@pytest.mark.parametrize(
    "name", [n for n in discovery.names("architecture") if not discovery.spec("architecture", n).traits.fitted]
)
def test_every_architecture_takes_usual_pictures(name, shape):
    net = discovery.spec("architecture", name).bind({})(shape, 3).train(False)
    with torch.no_grad():
        assert net(torch.rand(2, *shape)).shape == (2, 3)


def test_pictures_are_read_ahead_in_the_same_order(folder):
    from advcli.datasets.folder import folder as class_folder
    from advcli.training.loader import Batches

    photographs(Path("photos"), count=30, size=12)
    data = class_folder("train", path="photos")
    batches = Batches(data, torch.device("cpu"), 8)
    assert batches.pixels is None
    order = [np.random.default_rng(k).integers(0, len(data), 8) for k in range(9)]
    for places, (x, label, chosen) in zip(order, batches.of(order), strict=True):
        assert torch.equal(x, data.read(places))
        assert label.tolist() == data.labels[places].tolist()
        assert chosen.tolist() == places.tolist()
    stream = batches.of(order)
    next(stream)
    stream.close()  # whoever stops early leaves no reader behind
    (Path("photos/train/a") / "3.jpg").write_bytes(b"broken")
    from advcli.errors import InputError

    with pytest.raises(InputError, match=r"3\.jpg"):
        list(batches.of([np.arange(len(data))]))


def test_sets_without_files_to_decode_are_taken_into_memory(run, folder):
    from advcli.training.loader import Batches
    from advcli.workspace.inputs import open_data

    x = np.random.default_rng(0).random((6, 1, 8, 8)).astype(np.float32)
    np.savez("float.npz", images=x, labels=np.arange(6) % 2)
    np.savez("bytes.npz", images=(x * 255).astype(np.uint8), labels=np.arange(6) % 2)
    assert run("import", "float.npz", "-o", "set.h5").code == 0
    for name in ("digits", "float.npz", "bytes.npz", "set.h5"):
        data = open_data(name, None)
        batches = Batches(data, torch.device("cpu"), 4)
        assert batches.pixels is not None, name
        places = np.array([5, 0, 3])
        ((found, label, _),) = batches.of([places])
        assert torch.equal(found, data.read(places))
        assert label.tolist() == data.labels[places].tolist()
