"""What the program opens: its inputs, its outputs, itself and the system it runs on; and no socket."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

import advcli

pytestmark = pytest.mark.sweep

HOOKED = """
import json, os, sys
heard = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
inside = False
def hook(event, args):
    global inside
    if inside or not (event in ("open", "os.system", "os.exec", "subprocess.Popen", "os.posix_spawn") or event.startswith("socket.")):
        return
    inside = True
    what = os.fspath(args[0]) if args and isinstance(args[0], (str, bytes, os.PathLike)) else None
    what = os.path.abspath(os.fsdecode(what)) if what is not None else ""
    os.write(heard, json.dumps([event, what]).encode() + b"\\n")
    inside = False
sys.addaudithook(hook)
from advcli.cli.app import main
for line in json.loads(sys.argv[2]):
    code = main(line)
    if code:
        sys.exit(f"{line}: {code}")
"""
CHAIN = [
    ["train", "--arch", "softmax", "--epochs", "2", "--limit", "100"],
    ["attack", "--method", "pgd", "--limit", "20", "--batch-size", "8", "--part-size", "1"],
    ["defend", "--method", "squeeze"], ["defend", "adversarial.h5"], ["evaluate"], ["evaluate", "adversarial.filtered.h5"],
    ["stats"], ["show", "adversarial.h5", "model.safetensors"], ["verify", "adversarial.h5", "model.safetensors"],
    ["export", "model.safetensors"], ["export", "adversarial.h5"], ["export", "adversarial.h5", "-o", "pictures"],
    ["import", "model.pt", "--arch", "softmax", "-o", "imported.safetensors"], ["import", "adversarial.npz", "-o", "back.h5"],
    ["train", "--data", "pictures", "--arch", "softmax", "--epochs", "1", "-o", "second.safetensors"], ["methods"],
]  # fmt: skip
OURS = r"(adversarial|perturbations|back)(\.filtered)?\.(h5|npz)|(model|defended|imported|second)\.(safetensors|pt|log\.jsonl)"
SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/opt", "/bin", "/sbin", "/var/cache/fontconfig")


SYSTEM_PROGRAMS = {"fc-list", "ldconfig", "uname"}  # matplotlib asks once where fonts are, Python where libraries are


def allowed(path: str, here: Path) -> bool:
    """The interpreter, its packages, the system and its fonts; in the folder our files, their parts and temporaries;
    and the temporary folder, where Python tries whether it can write."""
    homes = [sys.prefix, sys.base_prefix, str(Path(advcli.__file__).parent), *map(str, sysconfig.get_paths().values()), *SYSTEM]
    caches = [
        str(Path.home() / name)
        for name in (".cache/matplotlib", ".config/matplotlib", ".matplotlib", ".fonts", ".local/share/fonts")
    ]
    caches.append(os.environ["ADVCLI_CACHE"])  # digests of the files of folders
    if any(path == home or path.startswith(home + "/") for home in [*homes, *caches]):
        return True
    if path == str(here) or str(Path(path).parent) == tempfile.gettempdir():
        return True
    inside = Path(path).is_relative_to(here) and Path(path).relative_to(here)
    if not inside:
        return False
    first = inside.parts[0]
    ours = rf"\.?({OURS})(\..{{8}}\.tmp|\.lock|\.parts)?|\.?(perturbations\.stats|pictures)(\.building|\.lock)?|heard"
    return re.fullmatch(ours, first) is not None


def test_only_inputs_outputs_and_the_system_are_opened_and_no_socket(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    for decoy in (
        here / "secret.txt",
        here / "notes.toml",
        here / "private" / "key.pem",
        tmp_path / "outside.h5",
        here / "id.pkl",
    ):
        decoy.parent.mkdir(exist_ok=True)
        decoy.write_text("nobody reads this")
    ran = subprocess.run([sys.executable, "-c", HOOKED, str(here / "heard"), json.dumps(CHAIN)], cwd=here, capture_output=True,
                         text=True, check=False, timeout=600, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    events = [json.loads(line) for line in (here / "heard").read_text().splitlines()]
    opened = {path for event, path in events if event == "open"}
    assert {str(here / "adversarial.h5"), str(here / "pictures")} & opened  # the hook hears
    assert any(".part" in path for path in opened)
    strange = sorted(path for path in opened if path and not path.isdigit() and not allowed(path, here))
    assert not strange
    assert not [event for event, _ in events if event.startswith("socket.") and event != "socket.gethostname"]
    programs = {path for event, path in events if event.startswith(("os.", "subprocess."))}
    assert {Path(path).name for path in programs} <= SYSTEM_PROGRAMS


def test_the_hook_would_hear_a_stranger(tmp_path):
    assert not allowed(str(tmp_path / "secret.txt"), tmp_path)
    assert not allowed("/srv/somebody/id_rsa", tmp_path)
    assert allowed(str(tmp_path / ".adversarial.h5.abcdefgh.tmp"), tmp_path)


@pytest.mark.parametrize("name", ["FIFO", "unreadable"])
def test_nothing_that_a_file_names_is_opened(name, run, model):
    """Canary targets: a pipe that nobody writes to, and a file that may not be read."""
    from advcli.files import sandbox
    from hostile import BROKEN

    for case in [key for key in BROKEN if key.startswith(("set: virtual", "set: external"))]:
        for stale in (*Path().glob("x.h5"), *Path().glob("fifo")):
            stale.unlink()
        BROKEN[case].make()
        if name == "unreadable":
            Path("fifo").unlink()
            Path("fifo").write_bytes(b"")
            Path("fifo").chmod(0)
        sandbox.trusted_digests.clear()
        before = Path("fifo").stat().st_atime_ns
        assert run("evaluate", "x.h5").code == 3
        assert run("stats", "x.h5").code == 3
        assert Path("fifo").stat().st_atime_ns == before
