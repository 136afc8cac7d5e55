"""Finds the attacked sets that filtered ones were made of: among the given files, or in the folder of the filtered file."""

from collections.abc import Iterable
from contextlib import ExitStack

from advcli.evaluation.filter_effect import before_filters
from advcli.files.imageset_reader import ImageSet
from advcli.runtime.reporter import Reporter
from advcli.workspace.lookup import find_file


def unfiltered(given: Iterable[ImageSet], files: ExitStack, reporter: Reporter) -> dict[str, ImageSet]:
    """The sets by their digests, each opened once."""
    sets = list(given)
    found = {one.digest: one for one in sets}
    for one in sets:
        digest = before_filters(one.header)
        if digest and digest not in found and (path := find_file(digest, one.path.parent)):
            reporter.note(f"{one.path}: was filtered from {path}")
            found[digest] = files.enter_context(ImageSet(path))
    return found
