"""docs/format.md against the schema and against what the program writes: the same columns and keys, both ways."""

import re
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from advcli.cli.app import main
from advcli.files import header_schema, imageset_schema
from advcli.files.imageset_reader import ImageSet
from advcli.networks import model_file
from masked_networks import disguised

TEXT = (Path(__file__).parent.parent.parent / "docs" / "format.md").read_text()
KINDS = tuple(header_schema.KINDS)
MAKE = (
    "attack --method fgsm --limit 5 --eps 0.001 --quantize -o quantized.h5",
    "attack --method substitute --rounds 1 --epochs 1 --limit 4 --fit-limit 20 -o sub.h5",
    "attack --method universal --limit 4 --fit-limit 20 --eps 0.1 -o uni.h5",
    "attack --method fgsm --model saturated.safetensors --limit 4 --eps 0.1 -o saturated.h5",
    "attack --method fgsm --label pred --limit 4 --eps 0.1 -o pred.h5",
    "attack --method fool-evolve --encoding cppn --population 4 --generations 2 --count 1 --target 0 -o evolved.h5",
    "attack --method autoattack --queries 0 --limit 3 --eps 0.1 -o cascade.h5",
    "defend uni.h5 --method gaussian -o filtered.h5",
    "defend cascade.h5 --method gaussian -o filtered-cascade.h5",
    "import images.npz -o unknown.h5",
    "defend --method squeeze-detector --limit 60 -o detector.safetensors",
    "defend --method vote --model model.safetensors --member model.safetensors -o vote.safetensors",
    "attack --method fgsm --model vote.safetensors --limit 3 --eps 0.1 -o through.h5",
)


def table(heading: str) -> list[list[str]]:
    """The cells of the first table after a line of the page."""
    lines = TEXT[TEXT.index(heading) :].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    body = [line for line in lines[start:] if line]
    end = next(number for number, line in enumerate(body) if not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body[2:end]]


def names(cell: str) -> list[tuple[str, bool]]:
    """The keys that a cell names, and whether each is always there: optional ones stand in brackets."""
    return [(word, not bracket) for bracket, word in re.findall(r"(\()?`/?(\w+)`", cell)]


def kinds(cell: str) -> set[str]:
    return set(KINDS) if cell == "all" else set(cell.split(", "))


@pytest.fixture(scope="module")
def written(small_model, tmp_path_factory):
    """Files of every kind, with every key that a header can have."""
    folder = tmp_path_factory.mktemp("written")
    shutil.copy(small_model, folder / "model.safetensors")
    disguised("saturated", folder / "model.safetensors", folder / "saturated.safetensors")
    np.savez(folder / "images.npz", images=np.full((2, 1, 8, 8), 0.5, np.float32), labels=np.arange(2))
    with chdir(folder):
        for line in MAKE:
            assert main([*line.split(), "--quiet"]) == 0, line
    return folder


def test_the_columns_of_the_page_are_those_of_the_schema():
    rows = table("byte 512")
    found = {name: (shape, kind, kinds(sets)) for cell, shape, kind, sets, _ in rows for name, _ in names(cell)}
    optional = {name for cell, *_ in rows for name, always in names(cell) if not always}
    assert found.keys() == {"header", *imageset_schema.IMAGES, *imageset_schema.COLUMNS, *imageset_schema.EVOLVED}
    for name, (shape, kind, sets) in found.items():
        if name in imageset_schema.COLUMNS:
            assert (shape, np.dtype(kind)) == ("(N,)", imageset_schema.COLUMNS[name]), name
        elif name in imageset_schema.EVOLVED:
            kinds_, count = imageset_schema.EVOLVED[name]
            assert (shape.count(",") + (not shape.endswith(",)")), np.dtype(kind)) == (count, kinds_), name
        else:
            assert (shape, kind) == {"header": ("(bytes,)", "uint8")}.get(name, (shape, "float32 or uint8"))
        needed = {one for one in KINDS if name in (*imageset_schema.NEEDED, *imageset_schema.BESIDE.get(one, ()))}
        assert needed - {"filtered"} == (set() if name in optional else sets - {"filtered"}), name


def test_the_keys_of_the_page_are_those_of_the_schema():
    for kind in KINDS:
        said = {name: always for cell, sets, _ in table("The header") if kind in kinds(sets) for name, always in names(cell)}
        needed = {*header_schema.EVERYWHERE, *header_schema.KINDS[kind]}
        if kind == "universal":
            said["fitted"] = True  # as its row says
        assert needed <= said.keys(), kind
        assert {name for name, always in said.items() if not always} == set(header_schema.SOMETIMES.get(kind, ())), kind


def test_the_page_names_what_the_program_writes_and_nothing_else(written):
    """Clean sets are read, and no verb writes one today."""
    seen, columns, made, keys = {}, {}, set(), {name for cell, _ in table("`made`, in sets") for name, _ in names(cell)}
    for path in written.glob("*.h5"):
        with ImageSet(path) as opened:
            assert keys >= opened.header["made"].keys()
            made |= opened.header["made"].keys()
            seen[opened.kind] = seen.get(opened.kind, set()) | opened.header.keys()
            columns[opened.kind] = columns.get(opened.kind, set()) | set(opened.names())
    assert seen.keys() == set(KINDS) - {"clean"}
    assert made == keys
    for kind in seen:
        said = {name for cell, sets, _ in table("The header") if kind in kinds(sets) for name, _ in names(cell)}
        assert seen[kind] == said if kind != "filtered" else seen[kind] >= said, kind
        assert columns[kind] == {
            name for cell, _, _, sets, _ in table("byte 512") if kind in kinds(sets) for name, _ in names(cell)
        }
    with ImageSet(written / "filtered.h5") as opened:
        assert opened.header.keys() - {"of"} == opened.header["of"].keys()


def test_a_model_has_the_keys_of_the_page(written):
    said = dict(pair for cell, _ in table("holds the metadata") for pair in names(cell))
    written_models = [model_file.read(path).metadata for path in written.glob("*.safetensors")]
    assert set().union(*written_models) == said.keys()
    assert (
        set.intersection(*map(set, written_models))
        == {name for name, always in said.items() if always}
        == model_file.NEEDED | {"figures"}
    )


def test_the_page_says_what_is_in_a_victim_and_in_a_fit():
    (victim,) = (text for cell, _, text in table("The header") if cell == "`victim`")
    assert {"digest", "network", "defenses", "static", "weights"} == {name for name, _ in names(victim)}
    assert header_schema.VICTIM.keys() <= {name for name, _ in names(victim)}
    (fit,) = (text for cell, _, text in table("The header") if cell == "(`fitted`)")
    assert {name for name, _ in names(fit)} == header_schema.FITTED.keys()
