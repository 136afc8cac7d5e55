"""The verdicts of several models on several sets, from which figures of decisions are drawn."""

from collections.abc import Mapping, Sequence

from advcli.catalog.requests import EvaluateRequest
from advcli.errors import InputError
from advcli.evaluation.judge import Facts, Judge
from advcli.evaluation.rows import JudgedSet
from advcli.evaluation.sets import check_fit, from_file
from advcli.files.imageset_reader import ImageSet
from advcli.networks.model_file import ModelFile
from advcli.runtime.reporter import Reporter


def judged(
    models: Sequence[ModelFile],
    sets: Sequence[ImageSet],
    needs: set[str],
    asked: EvaluateRequest,
    unfiltered: Mapping[str, ImageSet],
    reporter: Reporter,
) -> list[JudgedSet]:
    """The verdicts of every model on every set, budget by budget, as `evaluate` has them.

    `unfiltered` are the sets that filtered ones were made of, by their digests.
    """
    facts = Facts([*models], asked, unfiltered)
    subjects = [from_file(one, str(one.path)) for one in sets]
    if len(splits := {one.header["split"] for one in subjects}) > 1:
        raise InputError(f"the files come from different splits ({', '.join(sorted(splits))}); draw them separately")
    found: list[JudgedSet] = []
    for file in models:
        judge = Judge(file, asked)
        for subject in subjects:
            check_fit(subject, file)
            found += judge.see(subject, needs, facts, reporter)
    return found
