"""Folders of Hugging Face's image classifiers; a stand-in takes the place of transformers, so that no test needs it."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from advcli.catalog import discovery
from advcli.errors import InputError
from advcli.networks import hugging_face_folder, model_file

STAND_IN = """
from types import SimpleNamespace
from torch import nn

fetched = []
logging = SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None)


class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.body = nn.Linear(3 * config.image_size**2, config.num_labels)

    def forward(self, pixel_values):
        return SimpleNamespace(logits=self.body(pixel_values.flatten(1)))

    @classmethod
    def from_pretrained(cls, where, *, config, state_dict, output_loading_info):
        assert where is None and output_loading_info
        made = cls(config)
        renamed = {name.replace("old.", "body."): one for name, one in state_dict.items()}  # as newer versions rename
        told = made.load_state_dict(renamed, strict=False)
        return made, {"missing_keys": set(told.missing_keys), "unexpected_keys": set(told.unexpected_keys), "mismatched_keys": []}


class AutoConfig:
    @staticmethod
    def for_model(kind, **more):
        if kind != "tiny":
            raise ValueError(f"Unrecognized model identifier: {kind}")
        return SimpleNamespace(**more)


class AutoModelForImageClassification:
    @staticmethod
    def from_config(config, *, attn_implementation="eager", trust_remote_code):
        assert trust_remote_code is False
        return Net(config)
"""
CONFIG = {
    "model_type": "tiny", "image_size": 8, "architectures": ["Net"], "_name_or_path": "someone/net", "dtype": "float32",
    "id2label": {"0": "cat", "1": "dog, hound", "2": "cow"}, "label2id": {"cat": 0, "backbone": 1},
}  # fmt: skip
PREPROCESSOR = {
    "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.4, 0.5], "size": {"height": 8, "width": 8}, "rescale_factor": 1 / 255,
}  # fmt: skip


@pytest.fixture
def library(folder, monkeypatch):
    """A package called transformers with one type of network."""
    (folder / "library").mkdir()
    (folder / "library" / "transformers.py").write_text(STAND_IN)
    monkeypatch.setattr(sys, "path", [str(folder / "library"), *sys.path])
    for name in [one for one in sys.modules if one.partition(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    discovery.spec.cache_clear()
    yield
    sys.modules.pop("transformers", None)
    discovery.spec.cache_clear()


def write(config=CONFIG, preprocessor=PREPROCESSOR, name="old", where="net"):
    """A folder of a classifier; its weights have the names of an older version."""
    Path(where).mkdir(exist_ok=True)
    drawn = torch.Generator().manual_seed(1)
    weights = {f"{name}.weight": torch.randn(3, 192, generator=drawn), f"{name}.bias": torch.randn(3, generator=drawn)}
    save_file(weights, f"{where}/model.safetensors")
    Path(where, "config.json").write_text(json.dumps(config))
    if preprocessor is not None:
        Path(where, "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return weights


def test_a_folder_is_a_model_with_its_classes_size_and_normalisation(library, run):
    weights = write()
    ran = run("import", "net")
    assert ran.code == 0, ran.err
    assert "net: normalises with mean [0.4, 0.5, 0.6]" in ran.err
    found = model_file.read("model.safetensors")
    assert (found.classes, found.shape) == (("cat", "dog, hound", "cow"), (3, 8, 8))
    assert found.metadata["arch"] == {"name": "hf:tiny", "parameters": {"config": '{"image_size":8,"model_type":"tiny"}'}}
    x = torch.rand(4, 3, 8, 8)
    seen = (x - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.4, 0.5]).view(3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(found.module()(x), seen.flatten(1) @ weights["old.weight"].T + weights["old.bias"], atol=1e-4)
    assert "already exists, made by the same command" in run("import", "net/model.safetensors").err
    write({**CONFIG, "id2label": {"0": "a", "1": "b", "2": "c"}})
    changed = run("import", "net")
    assert changed.code == 3
    assert "model.safetensors: exists, and holds another network than net gives now" in changed.err


def photographs():
    for k in range(30):
        place = Path("photos") / ("cat", "cow", "dog, hound")[k % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 16 + k, 3), 4 * k, np.uint8)).save(place / f"{k}.png")


def test_photographs_are_made_as_the_folder_states_and_attacked_without_allow(library, run):
    write(preprocessor={**PREPROCESSOR, "size": {"shortest_edge": 10}, "crop_size": 8, "do_center_crop": True})
    photographs()
    ran = run("import", "net", "--data", "photos")
    assert ran.code == 0, ran.err
    assert "photos: images are made as net states: --image-size 8 --resize 10" in ran.err
    assert "clean accuracy on photos:test: " in ran.err
    ran = run("attack", "--method", "fgsm", "--eps", "0.1", "--no-perturbations")
    assert ran.code == 0, ran.err
    assert model_file.read("model.safetensors").metadata["data"]["resize"] == 10


def test_weights_of_an_architecture_take_photographs_of_a_size(library, run):
    torch.save({"1.weight": torch.randn(3, 192), "1.bias": torch.randn(3)}, "w.pth")
    Path("ownarch.py").write_text("from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))\n")
    photographs()
    ran = run("import", "w.pth", "--arch", "ownarch:net", "--data", "photos", "--image-size", "8")
    assert ran.code == 0, ran.err
    assert "w.pth: clean accuracy on photos:test: " in ran.err
    assert model_file.read("model.safetensors").metadata["data"]["image_size"] == 8
    assert "give --data FOLDER, too" in run("import", "w.pth", "--arch", "ownarch:net", "--image-size", "8").err


def wrong(code, words, *more, config=CONFIG, preprocessor=PREPROCESSOR, name="old", without=(), beside=()):
    return code, words, more, {"config": config, "preprocessor": preprocessor, "name": name}, without, beside


WEIGHTS = ("model.safetensors",)
WRONG = {
    "code": wrong(3, "has 'auto_map', which names code", config={**CONFIG, "auto_map": {"AutoConfig": "net.Config"}}),
    "deep": wrong(3, "has 'backbone', which names code or weights", config={**CONFIG, "vision": [{"backbone": "resnet50"}]}),
    "type": wrong(3, "hf:other: cannot be built from its configuration (ValueError", config={**CONFIG, "model_type": "other"}),
    "a network beyond all memory": wrong(3, "allocate", config={**CONFIG, "image_size": 10**6}),
    "strange": wrong(2, "is no type of a network of transformers", config={**CONFIG, "model_type": "../net"}),
    "no type": wrong(3, "config.json: has no model_type", config={"id2label": {}}),
    "timm": wrong(3, "--arch timm:resnet18", config={"model_type": "timm_wrapper", "architecture": "resnet18"}),
    "labels": wrong(3, "its id2label does not name classes", config={**CONFIG, "id2label": {"0": "a", "2": "b"}}),
    "backbone alone": wrong(3, "lacks weights of tiny, first body.bias; is it a classifier", name="encoder"),
    "shapes": wrong(3, "the weights do not fit tiny", config={**CONFIG, "id2label": {"0": "a", "1": "b"}}),
    "a pickle": wrong(3, "holds pytorch_model.bin, which may run code", without=WEIGHTS, beside=("pytorch_model.bin",)),
    "pieces": wrong(3, "are in several files", without=WEIGHTS, beside=("model.safetensors.index.json",)),
    "no weights": wrong(3, "has no model.safetensors", without=WEIGHTS),
    "no config": wrong(3, "config.json: no such file", without=("config.json",)),
    "no preprocessor": wrong(
        2, "--mean, --std: give both", without=("preprocessor_config.json",), preprocessor=None, config=CONFIG
    ),
    "no size": wrong(2, "--input: give the size", preprocessor={"image_mean": 0.5, "image_std": 0.5}),
    "BGR": wrong(3, "takes the channels in BGR", preprocessor={**PREPROCESSOR, "do_flip_channel_order": True}),
    "a mean of words": wrong(3, "its normalisation is no number", preprocessor={**PREPROCESSOR, "image_mean": "grey"}),
    "two channels": wrong(3, "normalises 2 channels; the network takes 3", preprocessor={**PREPROCESSOR, "image_mean": [0, 1]}),
    "a size of words": wrong(3, "no number of pixels", preprocessor={**PREPROCESSOR, "size": {"height": "8", "width": 8}}),
    "a deviation of 0": wrong(3, "must be above 0", preprocessor={**PREPROCESSOR, "image_std": 0}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_folder_that_is_not_whole_is_refused_in_a_line(name, library, run):
    code, words, more, content, without, beside = WRONG[name]
    write(**content)
    for one in without:
        Path("net", one).unlink(missing_ok=True)
    for one in beside:
        Path("net", one).write_bytes(b"{}")
    ran = run("import", "net", *more)
    assert ran.code == code, ran.err
    assert words in ran.err.splitlines()[-1]
    assert not Path("model.safetensors").exists()


SEEN = {  # a preprocessor -> the mean and deviation of pixels in [0, 1], the size, and the side before the centre is cut out
    "bytes": ({"do_rescale": False, "image_mean": 127.5, "image_std": 51, "size": 8}, 0.5, 0.2, 8, None),
    "twice the factor": ({"rescale_factor": 2 / 255, "image_mean": 1, "image_std": 1, "size": 8}, 0.5, 0.5, 8, None),
    "not normalised": ({"do_normalize": False, "image_mean": 0.5, "size": {"height": 8, "width": 8}}, 0, 1, 8, None),
    "a share": ({"image_mean": 0.5, "image_std": 0.5, "size": {"shortest_edge": 224}, "crop_pct": 0.875}, 0.5, 0.5, 224, 256),
    "a border": ({"image_mean": 0.5, "image_std": 0.5, "size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": 224,
                  "image_processor_type": "LevitImageProcessor"}, 0.5, 0.5, 224, 256),
    "no resizing": ({"image_mean": 0.5, "image_std": 0.5, "size": 224, "do_resize": False, "do_center_crop": True,
                     "crop_size": 96}, 0.5, 0.5, 96, None),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_the_normalisation_is_that_of_pixels_from_0_to_1(name, folder):
    preprocessor, mean, std, size, resize = SEEN[name]
    write(preprocessor=preprocessor)
    found = hugging_face_folder.read(Path("net"))
    assert np.allclose(found.normalize["mean"], mean)
    assert np.allclose(found.normalize["std"], std)
    assert (found.shape, found.resize) == ((3, size, size), resize)


ODD = (
    None,
    True,
    0,
    -1,
    1e-9,
    10**400,
    float("nan"),
    "",
    "1",
    [],
    [[1]],
    [1, None, 2],
    {},
    {"height": 8},
    {"height": -1, "width": 8},
)
KEYS = (
    "rescale_factor",
    "image_mean",
    "image_std",
    "size",
    "crop_size",
    "crop_pct",
    "do_rescale",
    "do_normalize",
    "do_center_crop",
)


def test_whatever_the_texts_hold_it_is_read_or_refused(folder):
    write()
    cases = [
        ("config.json", {**CONFIG, key: one}) for key in ("model_type", "id2label", "num_labels", "num_channels") for one in ODD
    ]
    both = {**PREPROCESSOR, "do_center_crop": True, "crop_size": 4, "crop_pct": 0.9}
    cases += [("preprocessor_config.json", {**both, key: one}) for key in KEYS for one in ODD]
    read = 0
    for name, content in cases:
        kept = Path("net", name).read_text()
        Path("net", name).write_text(json.dumps(content))
        try:
            found = hugging_face_folder.read(Path("net"))
        except InputError as error:
            assert str(error).startswith("net"), error
        else:
            read += 1
            assert np.isfinite([*found.normalize["mean"], *found.normalize["std"]]).all()
        Path("net", name).write_text(kept)
    assert 20 < read < len(cases) - 60


def test_without_transformers_one_line_says_what_to_install(folder, run, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "transformers" else find(name, *more))
    discovery.spec.cache_clear()
    write()
    ran = run("import", "net")
    assert (ran.code, ran.err) == (2, 'advcli: hf:tiny: needs transformers: pip install "advcli[hf]"\n')


@pytest.mark.parametrize("config", ['{"auto_map":{"AutoConfig":"x.Y"}}', "[1]", "{", '{"a":[{"backbone":"b"}]}'])
def test_a_model_file_with_such_a_configuration_is_refused(config, library, run):
    write()
    run("import", "net")
    found = model_file.read("model.safetensors")
    found.metadata["arch"]["parameters"]["config"] = config
    Path("forged.safetensors").write_bytes(model_file.packed(found.metadata, found.tensors))
    with pytest.raises(InputError, match="configuration"):
        model_file.read("forged.safetensors").module()


def test_such_a_network_is_not_trained_from_nothing(library, run):
    ran = run("train", "--arch", "hf:tiny")
    assert ran.code == 2
    assert "come from a folder: advcli import FOLDER" in ran.err


def test_weights_that_have_no_place_are_refused(library, run):
    write()
    weights = {"body.weight": torch.zeros(3, 192), "body.bias": torch.zeros(3), "teacher.bias": torch.zeros(3)}
    save_file(weights, "net/model.safetensors")
    ran = run("import", "net")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "has weights that Net does not take, first teacher.bias: it is another network" in ran.err


@pytest.mark.parametrize("stated", [{"include_top": True}, {"image_processor_type": "EfficientNetImageProcessor"}], ids=str)
def test_what_efficientnet_divides_by_twice_is_divided_by_twice(stated, folder):
    write(preprocessor={**PREPROCESSOR, **stated})
    found = hugging_face_folder.read(Path("net")).normalize
    np.testing.assert_allclose(found["mean"], [0.4, 0.5, 0.6])
    np.testing.assert_allclose(found["std"], [0.04, 0.16, 0.25])


def test_classes_of_other_data_are_warned_of(library, run):
    write()
    for name in ("cats", "dogs", "cows"):
        Path("photos", name).mkdir(parents=True)
        for k in range(20):
            Image.fromarray(np.full((8, 8, 3), 9 * k, np.uint8)).save(f"photos/{name}/{k}.png")
    ran = run("import", "net", "--data", "photos")
    assert ran.code == 0, ran.err
    assert "net: names its classes cat, dog, hound, cow, the data cats, cows, dogs; these are taken in this order" in ran.err


def test_mean_alone_is_not_enough_where_nothing_states_the_rest(library, run):
    write(preprocessor=None)
    ran = run("import", "net", "--input", "3x8x8", "--mean", "0.5")
    assert ran.code == 2
    assert "--mean, --std: give both" in ran.err
