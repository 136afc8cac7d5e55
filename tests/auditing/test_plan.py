"""The plan of an audit: its budgets, steps and command lines."""

import contextlib
from pathlib import Path

import pytest

from advcli.auditing.plan import Subject
from advcli.auditing.structure import structure_in
from advcli.catalog.requests import AuditRequest
from advcli.cli.app import main
from advcli.networks import model_file
from advcli.workspace import inputs


@pytest.mark.parametrize(
    ("shape", "norm", "eps"),
    [((1, 28, 28), "linf", "0.3"), ((3, 32, 32), "linf", "8/255"), ((1, 3, 28), "l2", "2.0"), ((3, 1, 28), "l2", "0.5")],
)
def test_the_budget_is_the_default_of_grey_or_colour(shape, norm, eps):
    assert Subject("m", "d", shape, AuditRequest(norm=norm), 10).eps == eps
    assert Subject("m", "d", shape, AuditRequest(norm=norm, eps="1/4"), 10).eps == "1/4"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("structure", "method"), [("leaves", "tree"), ("references", "knn"), ("planes", "svm")])
def test_a_model_of_one_kind_is_attacked_by_what_is_made_for_it(structure, method, norm):
    """S2-A6: the attacks on trees, neighbours and linear models; a budget where the method has one."""
    subject = Subject("m", "d", (1, 8, 8), AuditRequest(norm=norm, eps="0.2"), 10, structure=structure)
    for gradients in (True, False):
        steps = [one for one in subject.steps(gradients=gradients) if one.name in ("tree", "knn", "svm")]
        assert [one.name for one in steps] == [method]
        assert steps[0].given["norm"] == norm
        assert steps[0].given.get("eps") == ("0.2" if method == "knn" else None)
    plain = Subject("m", "d", (1, 8, 8), AuditRequest(norm=norm), 10)
    assert not {one.name for one in plain.steps(gradients=True)} & {"tree", "knn", "svm"}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> Path:
    """Small models of several kinds."""
    with contextlib.chdir(tmp_path_factory.mktemp("kinds")):
        for arch in ("tree", "forest", "knn", "svm", "softmax", "mlp"):
            some = ("--data", "digits", "--limit", "60", *(("--epochs", "1") * (arch in ("softmax", "mlp"))))
            assert main(["train", "--arch", arch, *some, "-o", f"{arch}.safetensors", "--quiet"]) == 0
        assert main(["defend", "--method", "squeeze", "--model", "tree.safetensors", "--quiet"]) == 0
        return Path.cwd()


@pytest.mark.parametrize(
    ("name", "offers"),
    [("tree", "leaves"), ("forest", "leaves"), ("knn", "references"), ("svm", "planes"), ("softmax", "planes"), ("mlp", ""),
     ("defended", "")],
)  # fmt: skip
def test_what_a_model_offers_is_seen(kinds, name, offers):
    assert structure_in(model_file.read(kinds / f"{name}.safetensors"), inputs.open_data("digits", "test")) == offers
