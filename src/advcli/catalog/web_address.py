"""The address of a classifier behind HTTP, in the place of module:function."""

from urllib.parse import urlsplit

SCHEMES = ("http", "https")
LONGEST = 2000


def is_address(text: str) -> bool:
    """True for http://... and https://..."""
    return text.lower().startswith(("http://", "https://"))


def fault(text: str) -> str:
    """What is wrong with an address, in a few words; empty if nothing is."""
    if len(text) > LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        return "has characters that no address has, or too many"
    try:
        found = urlsplit(text)
        host, _ = found.hostname, found.port
    except ValueError:
        return "is no address"
    if found.scheme not in SCHEMES or not host:
        return "is no address of http or https"
    if "@" in found.netloc:
        return "holds a name or a password, which a model file would keep; set ADVCLI_AUTHORIZATION"
    return "holds a fragment (#), which no server gets" if found.fragment else ""
