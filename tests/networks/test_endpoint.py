"""A classifier behind HTTP: asked by JSON, at its rate, in the size that it takes; what is no answer ends the run, resumably."""

import base64
import email.utils
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from advcli.catalog import discovery, web_address
from advcli.errors import InputError
from advcli.files.imageset_reader import ImageSet
from advcli.networks import endpoint, model_file

digits = load_digits()
MEANS = np.stack([digits.data[digits.target == k].mean(0) / 16 for k in range(10)]).astype(np.float32)


def scores_of(pictures):
    return (pictures.reshape(len(pictures), -1) @ MEANS.T - (MEANS**2).sum(1) / 2).tolist()


class Service(HTTPServer):
    """The nearest mean of the digits' classes; `does` answers the next calls in another way, one entry each."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}/classify?version=2"
        self.calls, self.asked, self.does, self.seen = 0, 0, [], []
        self.fails_after = None


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert sent["format"] == "advcli/pictures/1"
        pictures = np.frombuffer(base64.b64decode(sent["pictures"]), "<f4").reshape(sent["shape"])
        server.calls, server.asked = server.calls + 1, server.asked + len(pictures)
        server.seen.append((self.path, self.headers.get("Authorization"), len(pictures)))
        if server.fails_after is not None and server.asked > server.fails_after:
            self.answer(500, {}, b"")
        elif server.does:
            self.answer(*server.does.pop(0))
        else:
            found = (
                {"labels": np.argmax(scores_of(pictures), 1).tolist()}
                if "labels" in self.path
                else {"scores": scores_of(pictures)}
            )
            self.answer(200, {}, json.dumps(found).encode())

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service(folder, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", endpoint.TOKEN):
        monkeypatch.delenv(name, raising=False)
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def naps(monkeypatch):
    """The pauses that would have been made."""
    made = []
    monkeypatch.setattr(endpoint.time, "sleep", made.append)
    return made


def imported(run, service, *more, name="model.safetensors"):
    ran = run("import", service.address, "--data", "digits", "--batch-size", "16", "-o", name, *more)
    assert ran.code == 0, ran.err
    return ran


def test_it_is_attacked_like_a_function_and_a_rerun_asks_nothing_twice(service, run):
    ran = imported(run, service)
    assert "is asked over the network; the images leave this machine" in ran.err
    assert model_file.peek(Path("model.safetensors"))["arch"] == {
        "name": service.address, "parameters": {}, "answers": "scores", "at_once": 16, "call": "http",
    }  # fmt: skip
    line = ["attack", "--method", "square", "--eps", "0.1", "--limit", "8", "--max-queries", "20", "--batch-size", "4"]
    discovery.PERMITTED.discard(service.address)
    service.calls = 0
    assert f"--allow {service.address}" in run(*line).err
    assert service.calls == 0, "a file alone asks nobody"
    line += ["--allow", service.address, "--no-perturbations"]
    service.asked = service.calls = 0
    ran = run(*line)
    assert ran.code == 0, ran.err
    told = re.search(r"asked about ([\d,]+) pictures in ([\d,]+) calls", ran.err)
    assert [int(one.replace(",", "")) for one in told.groups()] == [service.asked, service.calls]
    assert max(count for *_, count in service.seen) <= 16
    whole, asked = Path("adversarial.h5").read_bytes(), service.asked
    with ImageSet("adversarial.h5") as made:
        assert made.header["access"] == "scores"
    Path("adversarial.h5").unlink()
    service.asked, service.fails_after = 0, asked * 2 // 3
    ran = run(*line)
    assert ran.code == 4
    assert "(NoAnswer: status 500); nothing was decided from it" in ran.err
    assert not Path("adversarial.h5").exists()
    first, service.asked, service.fails_after = service.asked, 0, None
    assert run(*line).code == 0
    assert Path("adversarial.h5").read_bytes() == whole
    assert service.asked < asked
    assert first + service.asked <= asked + 60 + 16  # the trust checks ask anew, and the call that failed is made again
    assert run("show", "model.safetensors").out.count(service.address) >= 2


def test_labels_are_an_answer_too(service, run):
    service.address += "&labels"
    ran = run("import", service.address, "--input", "1x8x8", "--classes", ",".join("0123456789"))
    assert ran.code == 0, ran.err
    assert "gives labels of 10 classes" in ran.err


def test_a_server_that_is_busy_is_asked_again_after_its_pause(service, naps):
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    service.does = [(429, {"Retry-After": 7}, b""), (503, {"Retry-After": soon}, b"")]
    x = np.random.default_rng(1).random((3, 1, 8, 8), np.float32)
    assert np.allclose(endpoint.Endpoint(service.address)(x), scores_of(x))
    assert service.calls == 3
    assert naps[0] == 7
    assert 20 < naps[1] <= 30


def test_calls_keep_their_rate(service, naps, monkeypatch):
    monkeypatch.setattr(endpoint, "_last_calls", {})
    for one in (endpoint.Endpoint(service.address, 0.5), endpoint.Endpoint(service.address, 0.5)):  # two models, one service
        one(np.zeros((1, 1, 8, 8), np.float32))
    assert naps[0] == 0
    assert 1.5 < naps[1] <= 2


NONE = {
    "redirect": ((302, {"Location": "file:///etc/passwd"}, b""), "redirects to 'file:///etc/passwd'; no redirect is followed"),
    "status": ((500, {}, b"{}"), "status 500"),
    "secret": ((401, {}, b""), "status 401; set ADVCLI_AUTHORIZATION"),
    "made": ((201, {}, b'{"scores": [[1, 2]]}'), "status 201"),
    "long": ((429, {"Retry-After": 4000}, b""), "asks to wait 4000 seconds"),
    "no time": ((429, {"Retry-After": "later"}, b""), "status 429"),
    "text": ((200, {}, b"<html>"), "the answer is not JSON"),
    "deep": ((200, {}, b"[" * 100_000), "the answer is not JSON"),
    "other": ((200, {}, b'{"classes": [1]}'), 'holds neither "scores" nor "labels"'),
    "both": ((200, {}, b'{"scores": [[1, 2]], "labels": [1]}'), 'holds both "scores" and "labels"'),
    "texts": ((200, {}, b'{"scores": [["1", "2"]]}'), "no numbers in rows of one length"),
    "large": ((200, {}, b'{"labels": [1000000000000000000000000000000]}'), "or too large"),
    "ragged": ((200, {}, b'{"scores": [[1, 2], [1]]}'), "no numbers in rows of one length"),
    "words": ((200, {}, b'{"scores": [["a", "b"]]}'), "no numbers in rows of one length"),
    "short": ((200, {"Content-Length": 90}, b'{"scores": [[1'), "IncompleteRead|not JSON"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_answer_says_so(name, service, naps):
    answer, words = NONE[name]
    service.does = [answer]
    with pytest.raises(Exception, match=words if name == "short" else re.escape(words)):
        endpoint.Endpoint(service.address)(np.zeros((1, 1, 8, 8), np.float32))
    assert service.calls == 1
    assert not naps


def test_answers_are_bounded_in_size_and_time(service, monkeypatch):
    monkeypatch.setattr(endpoint, "MOST_BYTES", 10)
    with pytest.raises(endpoint.NoAnswer, match="larger than 10 bytes"):
        endpoint.Endpoint(service.address)(np.zeros((1, 1, 8, 8), np.float32))
    with pytest.raises(endpoint.NoAnswer, match="takes too long"):
        endpoint.limited(lambda count: b"x", time.monotonic() - 1)


def test_an_answer_of_another_form_ends_the_import(service, run):
    service.does = [(200, {}, b'{"scores": [[1, 2]]}')]
    ran = run("import", service.address, "--data", "digits")
    assert ran.code == 4
    assert "expected scores (3, classes) or labels (3,)" in ran.err
    service.does = [(429, {"Retry-After": 0}, b"")] * 8
    ran = run("import", service.address, "--data", "digits")
    assert "put the call off 8 times" in ran.err
    assert not Path("model.safetensors").exists()


def test_nobody_there_is_said(folder, run):
    ran = run("import", "http://127.0.0.1:9/", "--data", "digits")
    assert ran.code == 4
    assert "NoAnswer: cannot be reached" in ran.err


def test_the_secret_goes_to_this_machine_or_over_https_only(service, monkeypatch):
    monkeypatch.setenv(endpoint.TOKEN, "Bearer abc")
    endpoint.Endpoint(service.address)(np.zeros((1, 1, 8, 8), np.float32))
    assert service.seen == [("/classify?version=2", "Bearer abc", 1)]
    assert endpoint.authorization("https://example.org/") == {"Authorization": "Bearer abc"}
    with pytest.raises(endpoint.NoAnswer, match="over https only"):
        endpoint.authorization("http://example.org/")
    monkeypatch.setenv(endpoint.TOKEN, "a\nHost: b")
    with pytest.raises(endpoint.NoAnswer, match="characters"):
        endpoint.authorization("https://example.org/")


@pytest.mark.parametrize(
    "text", ["http://", "https://me:secret@host/", "http://ho st/", "http://h/#a", "http://h:x/", "http://h/\u00e4"]
)
def test_an_address_that_is_none_is_refused(text, folder, run):
    assert web_address.fault(text)
    ran = run("import", text, "--data", "digits")
    assert ran.code == 2


def test_an_address_is_no_model_file_and_its_options_are_its_own(service, run):
    ran = run("evaluate", "--model", service.address)
    assert ran.code == 3
    assert f"advcli import {service.address} --data DATA -o FILE.safetensors" in ran.err
    assert "--max-rate: is for an address" in run("import", "w.pth", "--max-rate", "1").err
    imported(run, service, "--max-rate", "1000")
    assert model_file.read("model.safetensors").metadata["arch"]["rate"] == 1000


@pytest.mark.parametrize(
    "change", [{"rate": 0}, {"rate": True}, {"rate": "1"}, {"call": None}, {"name": "a:b"}, {"name": "http://a b/"}], ids=str
)
def test_metadata_that_says_nonsense_of_an_address_is_refused(change, service, run):
    imported(run, service)
    found = model_file.read("model.safetensors")
    found.metadata["arch"] |= change
    Path("forged.safetensors").write_bytes(model_file.packed(found.metadata, found.tensors))
    with pytest.raises(InputError, match="its header has no valid arch"):
        model_file.read("forged.safetensors")


def test_what_goes_to_this_machine_goes_to_no_proxy(service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    found = endpoint.Endpoint(service.address)(np.zeros((1, 1, 8, 8), np.float32))
    assert found.shape == (1, 10)


def test_labels_below_zero_and_other_schemes_are_called_so(service, run):
    service.does = [(200, {}, b'{"labels": [-1, 0, 1]}')] * 2
    ran = run("import", service.address, "--data", "digits")
    assert "returned label -1; labels are whole numbers from 0 on" in ran.err
    ran = run("import", "ftp://127.0.0.1/net", "--data", "digits")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "begins with http:// or https://" in ran.err
