"""`stats`: image sets in; tables of norms and values, histograms and sheets of pictures out."""

import csv
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advcli.catalog.requests import StatsRequest
from advcli.errors import CommandError, InputError
from advcli.figures import histogram
from advcli.figures.sheet import sheet
from advcli.files import atomic, header_schema, sandbox
from advcli.files.header import canonical, parse
from advcli.files.imageset_reader import ImageSet
from advcli.files.provenance import provenance_of
from advcli.numerics.arrays import Array
from advcli.numerics.balls import distance
from advcli.numerics.moments import Moments
from advcli.numerics.quantities import fraction
from advcli.runtime.reporter import SILENT, Talk
from advcli.workspace import inputs

NORMS = ("l0", "l1", "l2", "linf")
GROUPS = ("label", "target", "prediction")
COLUMN = {"label": "labels", "target": "target", "prediction": "prediction"}
WHERE = ("epsilon", "success", "index")
BATCH = 1024
MOST_NOTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Statistics:
    """The tables of all files, and where their pictures went."""

    rows: list[dict[str, Any]]
    folders: list[Path]

    def document(self) -> dict[str, Any]:
        return {"rows": self.rows, "folders": [str(folder) for folder in self.folders]}


@dataclass(slots=True)
class Collected:
    """What one pass over a file gathers."""

    norms: dict[tuple[str, ...], dict[str, Moments]] = field(default_factory=dict)
    values: dict[tuple[str, ...], dict[str, Moments]] = field(default_factory=dict)
    sizes: dict[str, list[Array]] = field(default_factory=lambda: {norm: [] for norm in NORMS})
    pixels: dict[str, Array] = field(default_factory=dict)


def stats(asked: StatsRequest, talk: Talk = SILENT) -> Statistics:
    """Look at images and perturbations."""
    names = asked.files or (inputs.PERTURBATIONS,)
    if not asked.files:
        talk.note(f"set: {inputs.PERTURBATIONS}")
    if asked.output and len(names) > 1:
        raise CommandError("-o names one folder; without it every set's figures lie beside it")
    rows, folders = [], []
    for name in names:
        folder = Path(asked.output) if asked.output else Path(name).with_suffix(".stats")
        rows += one_file(Path(name), folder, asked, talk)
        folders.append(folder)
    return Statistics(rows, folders)


def one_file(path: Path, folder: Path, asked: StatsRequest, talk: Talk) -> list[dict[str, Any]]:
    """Tables and pictures of one file, written to its folder."""
    groups = [] if asked.by == "none" else asked.by.split(",")
    if wrong := [one for one in groups if one not in GROUPS]:
        raise CommandError(f"--by {wrong[0]}: takes {', '.join(GROUPS)} or none")
    with ImageSet(path) as opened:
        kinds = available(opened)
        if asked.of is not None and asked.of not in kinds:
            raise CommandError(f"--of {asked.of}: {path} has {', '.join(kinds)}")
        kinds = [asked.of] if asked.of else kinds
        groups = [one for one in groups if COLUMN[one] in opened]
        chosen = places(opened, asked.where)
        collected = collect(opened, chosen, groups, kinds, asked.bins)
        options = {"of": asked.of, "by": asked.by, "where": asked.where, "bins": asked.bins, "count": asked.count}
        made = provenance_of("stats", method=None, parameters={}, options=options,
                            parents=[{"role": "file", "digest": opened.digest}], data=None, environment={})  # fmt: skip
        _claim(folder, made, force=asked.force)
        norms = [dict(zip(["epsilon", *groups], key, strict=True)) | {"of": "norm", "norm": norm} | m.row()
                 for key, cell in collected.norms.items() for norm, m in cell.items()]  # fmt: skip
        values = [dict(zip(["epsilon", *groups], key, strict=True)) | {"of": kind, "norm": None} | m.row()
                  for key, cell in collected.values.items() for kind, m in cell.items()]  # fmt: skip
        write_csv(folder / "norms.csv", norms)
        write_csv(folder / "values.csv", values)
        _histograms(folder, collected, asked.bins, path.name)
        _sheet(folder, opened, chosen[: asked.count], kinds)
        talk.note(f"{folder}: norms.csv, values.csv, histograms.png, histograms.csv, sheet.png, sheet.csv")
    return [{"set": str(path), **row} for row in (*norms, *values)]


def available(opened: ImageSet) -> list[str]:
    """What a file has values of."""
    if opened.signed:
        return ["perturbations"]
    return ["images", "originals", "perturbations"] if "original" in opened else ["images"]


def places(opened: ImageSet, where: str | None) -> Array:
    """Rows that `--where` keeps."""
    keep = np.ones(len(opened), bool)
    for piece in (where or "").split(",") if where else ():
        word, _, text = piece.partition("=")
        column = COLUMN.get(word, word)
        if column not in (*COLUMN.values(), *WHERE) or column not in opened:
            raise CommandError(f"--where {piece}: {opened.path} has no {word!r}")
        values = opened.column(column)
        if word in GROUPS:
            if text not in opened.classes:
                raise CommandError(f"--where {piece}: {text!r} is no class of {opened.path}")
            keep &= values == opened.classes.index(text)
        else:
            try:
                keep &= np.isclose(values, float(fraction(text)), atol=1e-7)
            except (ValueError, OverflowError) as error:
                raise CommandError(f"--where {piece}: {error}") from None
        if not keep.any():
            raise CommandError(f"--where {where}: {opened.path} has no such row")
    return np.flatnonzero(keep)


def collect(opened: ImageSet, chosen: Array, groups: list[str], kinds: list[str], bins: int) -> Collected:
    """One pass over the rows: moments of norms and values for every group, histograms of all."""
    found = Collected()
    keys = _keys(opened, groups)
    for key in _cells(opened, groups):
        found.norms[key] = {norm: Moments() for norm in NORMS}
        found.values[key] = {kind: Moments() for kind in kinds}
    for part, tensors in _batches(opened, chosen, kinds):
        measured = tensors.get("perturbations", tensors.get("images"))
        assert measured is not None  # every file has one of the two
        sizes = {norm: distance(measured, measured * 0, norm).numpy() for norm in NORMS}
        for norm, values in sizes.items():
            found.sizes[norm].append(values)
        for kind in kinds:
            span = (-1.0, 1.0) if kind == "perturbations" else (0.0, 1.0)
            count, _ = histogram.counts(tensors[kind].numpy(), bins, span)
            found.pixels[kind] = found.pixels.get(kind, 0) + count
        mine = [keys[place] for place in part]
        for key in dict.fromkeys(mine):
            rows = np.array([one == key for one in mine])
            for norm in NORMS:
                found.norms[key][norm].add(sizes[norm][rows])
            for kind in kinds:
                found.values[key][kind].add(tensors[kind].numpy()[rows])
    return found


def _keys(opened: ImageSet, groups: list[str]) -> list[tuple[str, ...]]:
    """The group of every row: its budget, and the names of its classes."""
    columns = [_budget_names(opened)] + [[_name(opened, int(v)) for v in opened.column(COLUMN[g])] for g in groups]
    return list(zip(*columns, strict=True))


def _budget_names(opened: ImageSet) -> list[str]:
    if "epsilon" not in opened:
        return ["-"] * len(opened)
    texts = {np.float32(float(fraction(t))): t for t in opened.header.get("epsilon") or ()}
    return ["-" if np.isnan(value) else texts.get(value, f"{value:.6g}") for value in opened.column("epsilon")]


def _name(opened: ImageSet, number: int) -> str:
    return opened.classes[number] if number >= 0 else "-"


def _cells(opened: ImageSet, groups: list[str]) -> Iterator[tuple[str, ...]]:
    """Every cell of the table, also those that stay empty."""
    present = [list(dict.fromkeys(_budget_names(opened))) or ["-"]]
    for group in groups:
        values = opened.column(COLUMN[group])
        known = list(opened.classes) if (values >= 0).any() else []
        present.append(known + (["-"] if (values < 0).any() or not known else []))
    yield from itertools.product(*present)


def _batches(opened: ImageSet, chosen: Array, kinds: list[str]) -> Iterator[tuple[Array, dict[str, Any]]]:
    """(rows, pictures of every kind) some at a time."""
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        images, tensors = opened.pick("images", part), {}
        if opened.signed:
            yield part, {"perturbations": images}
            continue
        tensors["images"] = images
        if "original" in opened:
            tensors["originals"] = opened.pick("originals", opened.column("original")[part])
            tensors["perturbations"] = images - tensors["originals"]
        yield part, tensors


def _claim(folder: Path, made: dict[str, Any], *, force: bool) -> None:
    """A folder of ours is refreshed; anything else is left alone."""
    note = folder / "stats.json"
    if folder.exists() and not force:
        try:
            known = parse(sandbox.read(note, most=MOST_NOTE), str(note)).get("made")
            header_schema.provenance(known, str(note))
            ours = isinstance(known, dict) and known["verb"] == "stats"
        except InputError:
            ours = folder.is_dir() and not [p for p in folder.iterdir() if not p.name.startswith(".stats.json.")]
        if not ours:
            raise CommandError(
                f"{folder}: stands there and is not a folder of advcli's; --force writes into it, -o names another"
            )
    atomic.write(note, [canonical({"made": made})])


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    atomic.write(path, [text.getvalue().encode()])


def write_png(path: Path, figure: Figure) -> None:
    """A picture whose bytes depend on nothing but its content."""
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    atomic.write(path, [data.getvalue()])


def _histograms(folder: Path, found: Collected, bins: int, title: str) -> None:
    panels = [
        (f"{norm} norms", "norm", histogram.counts(np.concatenate([*found.sizes[norm], np.zeros(0)]), bins)) for norm in NORMS
    ]
    for kind, count in found.pixels.items():
        low = -1.0 if kind == "perturbations" else 0.0
        panels.append((f"values of {kind}", "value", (count, np.linspace(low, 1, bins + 1))))
    down = -(-len(panels) // 2)
    figure = Figure(figsize=(8, 2.2 * down + 0.4), dpi=120, layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(down, 2, squeeze=False)
    for axes in list(grid.flat)[len(panels) :]:
        axes.axis("off")
    for axes, (name, unit, (count, edges)) in zip(grid.flat, panels, strict=False):
        histogram.draw(axes, count, edges, name, unit)
    write_png(folder / "histograms.png", figure)
    write_csv(folder / "histograms.csv", [row for name, _, (c, e) in panels for row in histogram.rows(name, c, e)])


def _sheet(folder: Path, opened: ImageSet, chosen: Array, kinds: list[str]) -> None:
    kind = "perturbations" if "images" not in kinds else "images"
    pictures = next((tensors[kind].numpy() for _, tensors in _batches(opened, chosen, kinds)), np.zeros((0, *opened.shape)))
    names = {g: [_name(opened, int(v)) for v in opened.column(COLUMN[g])[chosen]] for g in GROUPS if COLUMN[g] in opened}
    budgets = _budget_names(opened)
    labels, said = names["label"], names.get("prediction", [""] * len(chosen))
    captions = [f"{a} → {b}" if b else a for a, b in zip(labels, said, strict=True)]
    scale = f", full scale ±{np.abs(pictures).max(initial=0):.3g}" if kind == "perturbations" else ""
    write_png(folder / "sheet.png", sheet(pictures, captions, kind == "perturbations", f"{opened.path.name}: {kind}{scale}"))
    index = opened.column("index")
    table = [
        {"row": int(r), "index": int(index[r]), "epsilon": budgets[r], **{g: v[k] for g, v in names.items()}}
        for k, r in enumerate(chosen)
    ]
    write_csv(folder / "sheet.csv", table)
