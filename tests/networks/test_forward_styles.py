"""Every verb takes every common style of `forward`, and decides what the network itself, run as it was written, decides."""

import inspect
import json
import shutil
from pathlib import Path

import forward_styles
import pytest
import torch
from torch import nn

from advcli.files.imageset_reader import ImageSet
from advcli.verbs import import_weights

STYLES = [name for name, one in vars(forward_styles).items() if hasattr(one, "__advcli__")]
QUICK = ["--epochs", "1", "--limit", "120"]
FLAT = ("without_gradient", "detaching")  # nothing leads back to the picture


@pytest.fixture
def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of the styles where a user's lies: in the current folder."""
    shutil.copy(Path(__file__).parent / "forward_styles.py", folder / "styles.py")
    monkeypatch.syspath_prepend(folder)
    return "styles"


def as_written(style: str, weights: Path) -> nn.Module:
    """The network in PyTorch alone."""
    network = getattr(forward_styles, style)((1, 8, 8), 10)
    with torch.no_grad():
        network(torch.zeros(2, 1, 8, 8))  # lazy layers wait for it
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def decided(network: nn.Module, x: torch.Tensor) -> list[int]:
    """Its classes, whatever it answers with, in the layout that pictures have."""
    with torch.no_grad():
        found = network(x.clone(memory_format=torch.contiguous_format))
    if isinstance(found, dict):
        found = found.get("logits", found.get("out"))
    found = found[0] if isinstance(found, tuple) else getattr(found, "logits", found)
    return found.reshape(len(x), -1).argmax(1).tolist()


@pytest.mark.parametrize("style", STYLES)
def test_every_verb_takes_it(style, run, module):
    own = f"{module}:{style}"
    allow = ["--allow", own]

    def works(*words: object) -> str:
        ran = run(*words)
        assert ran.code == 0, f"{words[0]} {words[1:]}: {ran.err}"
        return ran.out

    def climbs(*words: object) -> list[str]:
        """The set of an attack along gradients; where there is none, it is refused and says how to go on."""
        if style not in FLAT:
            works(*words, *allow)
            return [str(words[-1])]
        ran = run(*words, *allow)
        assert (ran.code, "gives no gradient" in ran.err, "--method square" in ran.err) == (3, True, True), ran.err
        return []

    works("train", "--arch", own, *QUICK, "--weight-decay", "0.01")
    works("train", "--arch", own, *QUICK, "--recipe", "adversarial", "--against", "pgd:steps=2", "-o", "robust.safetensors")
    attack, sets = ("attack", "--model", "model.safetensors", "--method"), ["square.h5", "hopskipjump.h5"]
    works(*attack, "square", "--steps", "5", "--limit", "9", "-o", "square.h5", *allow)
    works(*attack, "hopskipjump", "--steps", "1", "--evaluations", "20", "--limit", "2", "-o", "hopskipjump.h5", *allow)
    sets += climbs(*attack, "pgd", "--steps", "3", "--limit", "9", "--early-stop", "-o", "pgd.h5")
    sets += climbs(*attack, "deepfool", "--limit", "2", "-o", "deepfool.h5")
    works("defend", "--model", "model.safetensors", "--method", "smoothing", "--samples", "5", "-o", "smooth.safetensors", *allow)
    smooth = climbs("attack", "--model", "smooth.safetensors", "--steps", "2", "--limit", "3", "-o", "s.h5")
    works("defend", "--model", "model.safetensors", "--method", "squeeze-detector", "-o", "sure.safetensors", *allow)
    works("defend", "--model", "model.safetensors", "--method", "autoencoder", *QUICK, "-o", "clean.safetensors", *allow)
    works(
        "evaluate", *sets, "--model", "model.safetensors", "--model", "sure.safetensors", "--model", "clean.safetensors", *allow
    )
    works("verify", "model.safetensors", "robust.safetensors", "clean.safetensors", *sets, *smooth, *allow)
    works("export", "model.safetensors", "-o", "weights.pt")
    works("import", "weights.pt", "--arch", own, "--input", "1x8x8", "-o", "back.safetensors")
    whole = ["evaluate", "--data", "digits", "--json", *allow, "--model"]
    first, second = (json.loads(works(*whole, name))["rows"] for name in ("model.safetensors", "back.safetensors"))
    assert [row["value"] for row in first] == [row["value"] for row in second]

    network = as_written(style, Path("weights.pt"))
    for name in sets:
        with ImageSet(name) as opened:
            x = opened.rows("images", 0, len(opened))
            originals = opened.pick("originals", opened.column("original"))
            assert decided(network, x) == opened.column("prediction").tolist()
            assert decided(network, originals) == opened.column("clean_prediction").tolist()


def test_the_corpus_is_as_large_as_it_says():
    assert len(STYLES) >= 25
    for name in STYLES:
        assert inspect.getdoc(getattr(forward_styles, name)) or name in ("viewing", "reshaping", "flattening")


@pytest.mark.parametrize("style", ["tuple_output", "dict_output", "dict_of_one", "object_output"])
def test_what_stands_beside_the_logits_trains_nothing(style, run, module):
    weights = []
    for name in ("viewing", style):
        assert run("train", "--arch", f"{module}:{name}", *QUICK, "-o", f"{name}.safetensors").code == 0
        assert run("export", f"{name}.safetensors", "-o", f"{name}.pt").code == 0
        weights.append(torch.load(f"{name}.pt", weights_only=True))
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_training_with_dropout_of_torchs_own_makes_the_same_bytes_again(run, module):
    state = torch.get_rng_state()
    for name in ("once", "twice"):
        assert run("train", "--arch", f"{module}:dropping", *QUICK, "-o", f"{name}.safetensors").code == 0
        torch.rand(3)  # whoever draws meanwhile changes nothing
    assert Path("once.safetensors").read_bytes() == Path("twice.safetensors").read_bytes()
    torch.set_rng_state(state)
    assert run("train", "--arch", f"{module}:dropping", *QUICK, "--seed", "1", "-o", "other.safetensors").code == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert Path("once.safetensors").read_bytes() != Path("other.safetensors").read_bytes()


REFUSED = '''"""Networks whose answers mean nothing here."""
from collections import namedtuple

import torch
from torch import nn
from torch.nn import functional

from advcli.extend import architecture


def answering(answer):
    class Network(nn.Module):
        def __init__(self, shape, classes):
            super().__init__()
            self.fc = nn.Linear(shape[1] * shape[2], classes)

        def forward(self, x):
            return answer(self, self.fc(x.flatten(1)))

    return architecture(family="own")(Network)


two_tensors = answering(lambda self, x: {"scores": x, "features": x})
too_few = answering(lambda self, x: x[:, :7])
one_number = answering(lambda self, x: x[:, 0])
transposed = answering(lambda self, x: x.T)
classes_only = answering(lambda self, x: x.argmax(1))
whole_numbers = answering(lambda self, x: (x > 0).long())
nothing = answering(lambda self, x: None)
words_first = answering(lambda self, x: ("logits", x))
always_dropping = answering(lambda self, x: functional.dropout(x, 0.5))
noisy = answering(lambda self, x: x + torch.randn_like(x))
gradient_free = answering(lambda self, x: x.detach())


@architecture(family="own")
def no_network(shape, classes):
    return [nn.Flatten(), nn.Linear(shape[1] * shape[2], classes)]


@architecture(family="own")
class extra_state(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.fc = nn.Linear(shape[1] * shape[2], classes)

    def get_extra_state(self):
        return {"version": 2}

    def set_extra_state(self, state):
        pass


@architecture(family="own")
class alone(nn.Module):
    """Batch norm over the samples: one sample has no spread."""

    def __init__(self, shape, classes):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], 8), nn.BatchNorm1d(8), nn.Linear(8, classes))

    def forward(self, x):
        return self.net(x)
'''


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("two_tensors", "dictionary of scores, features; call the logits 'logits'"),
        ("too_few", "2x7 for 2 images; expected 2x10"),
        ("one_number", "returns 2 for 2 images; expected 2x10"),
        ("transposed", "10x2 for 2 images; expected 2x10"),
        ("classes_only", "numbers of type torch.int64"),
        ("whole_numbers", "numbers of type torch.int64"),
        ("nothing", "returns NoneType"),
        ("words_first", "returns tuple"),
        ("always_dropping", "training=self.training"),
        ("noisy", "draws random numbers in evaluation mode"),
        ("gradient_free", "without gradients"),
        ("no_network", "returns list; an architecture returns a torch.nn.Module"),
        ("extra_state", "keeps '_extra_state', which is not a tensor"),
    ],
)
def test_an_answer_that_is_no_logits_is_refused_before_the_first_epoch(name, words, run, folder):
    Path("refused.py").write_text(REFUSED)
    ran = run("train", "--arch", f"refused:{name}", *QUICK)
    assert ran.code in (2, 3)
    assert words in ran.err
    assert "fault" not in ran.err
    assert "internal" not in ran.err
    assert not list(folder.glob("model.*"))


def test_one_image_for_the_last_batch_is_refused_where_batch_norm_needs_two(run, folder):
    Path("refused.py").write_text(REFUSED)
    train = ["train", "--epochs", "1", "--limit", "65"]
    ran = run(*train, "--arch", "refused:alone")
    assert ran.code == 2
    assert "--batch-size 64: 65 images leave one for the last batch" in ran.err
    assert run(*train, "--arch", "refused:alone", "--batch-size", "32").code == 2
    assert run(*train, "--arch", "refused:alone", "--batch-size", "33").code == 0
    assert run(*train, "--arch", "mlp", "-o", "mlp.safetensors").code == 0


def test_a_file_whose_network_draws_is_refused_by_whoever_opens_it(run, folder, monkeypatch):
    """The code may change after the import, which refuses it too."""
    Path("later.py").write_text(REFUSED)
    monkeypatch.syspath_prepend(folder)
    torch.save({"fc.weight": torch.rand(10, 64), "fc.bias": torch.rand(10)}, "weights.pt")
    allow, come = ["--allow", "later:noisy"], ["import", "weights.pt", "--arch", "later:noisy", "--input", "1x8x8"]
    assert "later:noisy: the network draws random numbers" in run(*come).err
    with monkeypatch.context() as patch:
        patch.setattr(import_weights, "_try_out", lambda model, arch: None)
        assert run(*come).code == 0
    for words in (["attack", "--data", "digits", "--limit", "3"], ["evaluate", "--data", "digits"]):
        ran = run(*words, "--model", "model.safetensors", *allow)
        assert ran.code == 3, ran.err
        assert "draws random numbers" in ran.err
