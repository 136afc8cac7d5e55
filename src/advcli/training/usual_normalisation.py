"""The normalisation of an architecture whose library states one, where --mean and --std are not given."""

from torch import nn

from advcli.catalog import timm_names
from advcli.networks import timm_models
from advcli.runtime.reporter import Reporter


def usual(
    arch: str, network: nn.Module, channels: int, given: tuple[str | None, str | None], reporter: Reporter
) -> dict[str, list[float]]:
    """timm's own mean and standard deviation, told in a note; nothing of other architectures."""
    found = timm_models.normalize(network, channels) if timm_names.is_timm(arch) else {}
    used = [f"{name} {values}" for (name, values), own in zip(found.items(), given, strict=False) if own is None]
    if used:
        reporter.note(f"{arch}: normalises with timm's {' and '.join(used)}; --mean and --std replace them")
    return found
