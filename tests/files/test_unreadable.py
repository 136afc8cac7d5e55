"""What cannot be read is said in words of our own, with the file's name."""

import os
from pathlib import Path

import pytest

from advcli.errors import InputError
from advcli.files import imageset_reader, sandbox

ENDLESS = "/proc/self/mem"  # a regular file whose first byte cannot be read


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("import", "junk.pt", "--arch", "cnn"), "junk.pt: not a state_dict, or a damaged one (UnpicklingError)"),
        (("evaluate", "pictures"), "pictures: is a folder, not an image-set file; images in a folder are given with --data"),
        (("evaluate", "--data", "pictures"), "a/1.png: not a readable image file (of no known kind)"),
        (("evaluate", "--data", "missing.png"), "missing.png: no such data set"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_no_message_speaks_of_the_libraries_that_read(words, told, run, model):
    Path("junk.pt").write_text("x")
    for name in "ab":
        Path("pictures", name).mkdir(parents=True)
        Path("pictures", name, "1.png").write_text("x")
    ran = run(*words)
    assert ran.code == 3
    assert told in ran.err


@pytest.mark.skipif(not os.path.exists(ENDLESS), reason="needs Linux")
@pytest.mark.parametrize("read", [sandbox.read, sandbox.digest_of, lambda path: imageset_reader.content_digest(Path(path))])
def test_a_file_that_the_system_cannot_read_is_named(read):
    with pytest.raises(InputError, match=f"{ENDLESS}: input/output error"):
        read(ENDLESS)
