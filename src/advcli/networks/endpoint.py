"""A classifier behind HTTP, as a function of pictures: one POST for each call, JSON both ways, by the standard library.

    request   {"format": "advcli/pictures/1", "shape": [N, C, H, W], "pictures": "<base64 of little-endian float32>"}
    answer    {"scores": [[...], ...]}, N rows of K numbers, or {"labels": [...]}, N whole numbers

Where the server says 429 or 503 with Retry-After, the same call is made again after that time. Anything else that is no answer
ends the run. No redirect is followed, and an answer is read up to a limit of size and time.
"""

import base64
import email.utils
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import numpy as np

from advcli.numerics.arrays import Array
from advcli.runtime.version import __version__

FORMAT = "advcli/pictures/1"
TOKEN = "ADVCLI_AUTHORIZATION"  # noqa: S105  # the name of a variable of the environment
SECONDS = 60.0  # without a byte, and twice that for a whole answer
LONGEST_WAIT, TRIES = 600.0, 8  # seconds and times that a server may put a call off
MOST_BYTES, PIECE = 1 << 26, 1 << 16
BUSY = (429, 503)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_last_calls: dict[str, float] = {}  # when each address was asked last, whichever model asked


class NoAnswer(Exception):
    """The reason why there is none."""


class PutOff(Exception):
    """The server asks for a pause of so many seconds."""

    def __init__(self, seconds: float, status: int) -> None:
        super().__init__(f"status {status}")
        self.seconds, self.status = seconds, status


class Endpoint:
    """The function; at most `rate` calls a second, if that is given."""

    def __init__(self, address: str, rate: float | None = None) -> None:
        self.address, self.rate = address, rate
        proxies: dict[str, str] | None = (
            {} if urlsplit(address).hostname in LOOPBACK else None
        )  # what goes to this machine goes to no proxy
        handlers = (urllib.request.ProxyHandler(proxies), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler())
        self.opener = urllib.request.OpenerDirector()  # without handlers of redirects, files and others
        for one in (*handlers, urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor()):
            self.opener.add_handler(one)

    def __call__(self, pictures: Array) -> Array:
        data = base64.b64encode(np.ascontiguousarray(pictures, "<f4").tobytes()).decode()
        body = json.dumps({"format": FORMAT, "shape": list(pictures.shape), "pictures": data}).encode()
        waited = 0.0
        for left in reversed(range(TRIES)):
            self._keep_rate()
            try:
                return parsed(self._post(body))
            except PutOff as put_off:
                waited += put_off.seconds
                if waited > LONGEST_WAIT:
                    told = f"asks to wait {put_off.seconds:.0f} seconds, in all more than {LONGEST_WAIT:.0f}"
                    raise NoAnswer(f"status {put_off.status}: the server {told}") from None
                if left:
                    time.sleep(put_off.seconds)
        raise NoAnswer(f"the server put the call off {TRIES} times")

    def _keep_rate(self) -> None:
        """Wait until the next call may be made."""
        if self.rate is not None:
            time.sleep(max(0.0, _last_calls.get(self.address, -1e9) + 1 / self.rate - time.monotonic()))
            _last_calls[self.address] = time.monotonic()

    def _post(self, body: bytes) -> bytes:
        """The bytes of an answer of status 200."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        request = urllib.request.Request(  # noqa: S310  # the opener knows http and https alone
            self.address, body, {**headers, "User-Agent": f"advcli/{__version__}", **authorization(self.address)}
        )
        try:
            with self.opener.open(request, timeout=SECONDS) as answer:
                if answer.status != 200:
                    raise NoAnswer(f"status {answer.status}")
                return limited(answer.read1, time.monotonic() + 2 * SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise _of_status(error) from None
        except urllib.error.URLError as error:
            raise NoAnswer(f"cannot be reached ({error.reason})") from None
        except TimeoutError:
            raise NoAnswer(f"gave nothing for {SECONDS:.0f} seconds") from None


def limited(read: Callable[[int], bytes], until: float) -> bytes:
    """All bytes of an answer; NoAnswer if there are too many, or they take too long."""
    pieces, size = [], 0
    while piece := read(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise NoAnswer(f"the answer is larger than {MOST_BYTES} bytes")
        if time.monotonic() > until:
            raise NoAnswer("the answer takes too long")
    return b"".join(pieces)


def _of_status(error: urllib.error.HTTPError) -> Exception:
    """What a status other than 200 means."""
    if error.code in BUSY and (seconds := pause(error.headers.get("Retry-After"))) is not None:
        return PutOff(seconds, error.code)
    if 300 <= error.code < 400:
        return NoAnswer(f"status {error.code}: redirects to {str(error.headers.get('Location'))[:80]!r}; no redirect is followed")
    hint = f"; set {TOKEN}" if error.code in (401, 403) and TOKEN not in os.environ else ""
    return NoAnswer(f"status {error.code}{hint}")


def pause(text: str | None) -> float | None:
    """The seconds of a Retry-After, a number or a date; None if it is neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def authorization(address: str) -> dict[str, str]:
    """The header with the user's secret, which goes over https, or to this machine, only."""
    found, place = os.environ.get(TOKEN), urlsplit(address)
    if not found:
        return {}
    if place.scheme != "https" and place.hostname not in LOOPBACK:
        raise NoAnswer(f"{TOKEN} is sent over https only")
    if not found.isascii() or not found.isprintable():
        raise NoAnswer(f"{TOKEN} holds characters that no header has")
    return {"Authorization": found}


def parsed(data: bytes) -> Array:
    """The scores or labels of an answer."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise NoAnswer("the answer is not JSON") from None
    kinds = [key for key in ("scores", "labels") if isinstance(found, dict) and key in found]
    if len(kinds) != 1:
        raise NoAnswer(f'the answer holds {"both" if kinds else "neither"} "scores" {"and" if kinds else "nor"} "labels"')
    try:
        values = np.asarray(found[kinds[0]])
    except (ValueError, TypeError, OverflowError):
        values = np.asarray("ragged")
    if values.dtype.kind not in "iuf":
        raise NoAnswer(f"its {kinds[0]} are no numbers in rows of one length, or too large")
    return values.astype(np.float64) if kinds == ["scores"] else values
