"""The description of how a file was made, in canonical JSON; it has no time, host name or path.

The identity of a command is a digest of everything that affects its result: verb, method, resolved parameters, the content of
its parents, the format. Batch size, device kind, threads and versions are recorded beside it as the environment.
"""

import hashlib
import json
from typing import Any

from advcli.errors import InputError

FORMAT = 1
NOTHING = "nothing"  # what a set is named after whose images were made, not taken
MEMORY = "memory"  # and one whose images were tensors or arrays of a Python program
Header = dict[str, Any]


def canonical(value: object) -> bytes:
    """The canonical spelling of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def identity(made: Header) -> str:
    """The digest of a command: equal where the same command would make the same file."""
    return digest(canonical({"format": FORMAT, **{k: v for k, v in made.items() if k not in ("environment", "program")}}))


def from_nothing(header: Header) -> bool:
    """True if the images of a set were generated from noise or a plain colour: they have no label."""
    made = (header["of"] if header.get("kind") == "filtered" else header)["made"]
    return bool((made.get("data") or {}).get("name") == NOTHING)


def parse(data: bytes, where: str) -> Header:
    """The JSON object of a header; InputError if it is not one."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: its header is not JSON; the file is damaged") from None
    if any(0xD800 <= ord(one) < 0xE000 for one in json.dumps(found, ensure_ascii=False)):
        raise InputError(f"{where}: its header holds broken text; the file is damaged")
    if not isinstance(found, dict):
        raise InputError(f"{where}: its header is not a JSON object; the file is damaged")
    return found


def short(content: str) -> str:
    """A digest for people."""
    return content[:12]
