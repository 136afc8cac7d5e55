"""The command line that `show` prints makes the file again: drawn at random, and where it was once refused."""

import json
import random
import shlex
import shutil
from contextlib import chdir
from pathlib import Path

import pytest

import replays
from advcli.cli import typer_options
from advcli.cli.app import main
from advcli.workspace.replay import command

pytestmark = pytest.mark.sweep


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What all random lines are drawn over."""
    folder = tmp_path_factory.mktemp("given")
    with chdir(folder):
        replays.parents()
    return folder


@pytest.mark.parametrize("seed", range(12))
def test_a_random_line_is_made_again_from_what_show_prints(seed, given):
    ((words, wrong),) = replays.replays(1, seed, given)
    assert not wrong, shlex.join(words)


ONCE_REFUSED = {
    "a name with an underscore": "attack --method substitute --lambda 0 --rounds 1 --epochs 1 --limit 3 --fit-limit 20",
    "a negative number": "attack --method jsma --theta=-0.5 --gamma 0.1 --limit 3 --target 3",
    "a negative number of a defense": "defend --method highpass --radius=-0.5",
    "a network of the user's own": "attack --method fgsm --limit 3 --model own.safetensors --allow own:net",
    "a stack of the user's own": "defend --method gaussian --model blurred.safetensors --allow own:net --allow own:blur",
    "a teacher of the user's own": "train --recipe distill --teacher own.safetensors --allow own:net --limit 40 --epochs 1 -o x.safetensors",
    "a method of the user's own": "attack --method own:shift --down --limit 3",
    "a method of the user's own as it is": "attack --method own:shift --limit 3",
    "an archive of images": "import images.npz",
    "one part of an archive": "attack --method fgsm --limit 3 --data both.npz:train",
    "classes of an archive": "import weights.pt --arch mlp --hidden 16 --data both.npz -o x.safetensors",
    "a threshold on a model of some classes": "defend --method squeeze-detector --model two.safetensors --limit 20",
    "a network learned on a model of some classes": "defend --method autoencoder --model two.safetensors --limit 20 --epochs 1",
    "a model of cut pictures": "defend --method squeeze-detector --model sized.safetensors --limit 20",
    "a folder with the name of a data set": "attack --method fgsm --limit 3 --data ./mnist",
    "a file that begins with a dash": "attack --method fgsm --limit 3 --data ./-dashed.h5 -o=-x.h5",
    "a batch of its own size": "defend --method gaussian pictures.h5 --batch-size 7",
}  # fmt: skip


HERE = ("a model of cut pictures",)  # what the model was trained on is looked for in the current folder


@pytest.mark.parametrize(
    ("what", "beside"), [(one, True) for one in ONCE_REFUSED] + [(one, False) for one in ONCE_REFUSED if one not in HERE]
)
def test_what_was_once_refused_is_made_again(what, beside, given):
    """With its parents in the same folder, and in another one that `show --in` names."""
    assert replays.replayed(shlex.split(ONCE_REFUSED[what]), given, beside=beside) == []


def test_a_wrong_replay_would_be_seen(given, monkeypatch):
    """The check itself: a command that forgets one option makes other bytes."""

    def forgetful(*args):
        return command(*args).replace(" --eps 0.25", "")

    monkeypatch.setattr("advcli.verbs.show.command", forgetful)
    (told,) = replays.replayed(shlex.split("attack --method fgsm --eps 0.25 --limit 3"), given, beside=True)
    assert "other bytes: adversarial.h5, perturbations.h5" in told


def test_every_option_is_drawn():
    """The generator knows a value for every option of every method, but for those that it names."""
    draw, lacking = random.Random(1), set()
    for role, verb, flag in (("attack", "attack", "--method"), ("defense", "defend", "--method"), ("recipe", "train", "--recipe"),
                             ("architecture", "train", "--arch")):  # fmt: skip
        for name in replays.discovery.names(role):
            for one, _ in typer_options.signature(verb, typer_options.chosen(verb, [flag, name])):
                if one.name not in (*replays.LEFT_OUT, *replays.BY_HAND) and one.type is not bool:
                    lacking |= {one.name} if replays.value(one, verb, draw) is None else set()
    assert not lacking


def test_the_parents_that_are_missing_are_named_by_their_digests(given, tmp_path):
    shutil.copy(given / "pgd.h5", tmp_path)
    with chdir(tmp_path):
        (story,) = json.loads(replays.done(["show", "pgd.h5", "--json"]))
        assert main(["show", "pgd.h5"]) == 0
    assert f"--model '<sha256:{story['header']['victim']['digest'][:12]}>'" in story["command"]
    assert not Path(given, "seen").exists()
