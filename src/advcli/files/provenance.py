"""The provenance of a file, as its header states it."""

from typing import Any

from advcli.files.header import Header
from advcli.runtime.version import __version__


def provenance_of(
    verb: str,
    *,
    method: str | None,
    parameters: dict[str, Any],
    options: dict[str, Any],
    parents: list[Header],
    data: Header | None,
    environment: Header,
) -> Header:
    """The provenance of a file; `identity` digests all of it but program and environment."""
    return {
        "verb": verb,
        "method": method,
        "parameters": parameters,
        "options": {k: v for k, v in options.items() if v is not None},
        "parents": parents,
        "data": data,
        "program": __version__,
        "environment": environment,
    }
