"""The normalisation of an architecture whose library states one, where --mean and --std are not given."""

from torch import nn

from advcli.catalog import timm_names
from advcli.networks import timm_models
from advcli.runtime.reporter import Reporter

Normalize = dict[str, list[float]]


def usual(arch: str, network: nn.Module, channels: int, given: tuple[str | None, str | None], reporter: Reporter) -> Normalize:
    """timm's own mean and standard deviation, told in a note; nothing of other architectures."""
    found = timm_models.normalize(network, channels) if timm_names.is_timm(arch) else {}
    return noted(arch, "timm's", found, given, reporter)


def noted(arch: str, whose: str, found: Normalize, given: tuple[str | None, str | None], reporter: Reporter) -> Normalize:
    """The same, after a note of what is used of it."""
    used = [f"{name} {values}" for (name, values), own in zip(found.items(), given, strict=False) if own is None]
    if used:
        reporter.note(f"{arch}: normalises with {whose} {' and '.join(used)}; --mean and --std replace them")
    return found
