"""The benchmark's page says what its kept results say, and its cells speak the language of the methods that are there."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_page_is_what_the_results_give():
    from benchmarks import report, run

    assert (FOLDER / "README.md").read_text() == report.text(run.kept())


def test_every_kept_result_is_of_a_cell_and_has_ours_first():
    from benchmarks import run
    from benchmarks.cells import cells

    kept = run.kept()
    assert {path.stem for path in (FOLDER / "results").glob("*.json")} == kept.keys()
    assert len({one.name for one in cells()}) == len(cells())
    for line in kept.values():
        assert line["tools"][0]["name"] == "advcli"
        assert "wall" in line["tools"][0]


def test_cells_bind_to_the_methods_that_are_there():
    from benchmarks import ours
    from benchmarks.cells import cells

    from advcli.catalog import discovery

    said = [one for one in map(ours.command, cells()) if one]
    assert {one.method for one in said} >= {"pgd", "fgsm"}
    for one in said:
        discovery.spec("attack", one.method).bind(one.options)


def test_targets_name_cells():
    from benchmarks.cells import TARGETS, cells

    assert {one.cell for one in TARGETS} <= {one.name for one in cells()}
