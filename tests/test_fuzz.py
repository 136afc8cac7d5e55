"""Five hundred mutated files of every format: read, or refused in our own words."""

import pytest

from damage import lookup3
from fuzz import FORMATS, OUTCOMES, fuzz

pytestmark = pytest.mark.sweep


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_read_or_refused(name, folder):
    if name.startswith("graph"):
        pytest.importorskip("onnx")
    found = fuzz(FORMATS[name], 500, seed=1)
    assert sum(found.values()) == 500
    assert not {one: found[one] for one in OUTCOMES[2:6] if found[one]}
    assert found["read"] > 10  # mutations that leave something to read
    assert found["refused"] > 50


def test_the_hash_that_repairs_hdf5s_checksums_is_the_published_one():
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
