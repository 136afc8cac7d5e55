"""Work in several threads: the results in order, few items read ahead, errors passed on, and the same bits."""

import threading

import pytest
import torch

from advcli.bounds.reading import read
from advcli.runtime.devices import in_threads
from bounds_networks import certify, classifier, images

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3])
def count(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_the_results_come_in_order_from_threads_that_compute_alone(count):
    seen = set()

    def work(item):
        seen.add(threading.current_thread().name)
        return item, torch.get_num_threads()

    assert list(in_threads(work, range(50), CPU)) == [(item, 1) for item in range(50)]
    assert 1 <= len(seen) <= count
    assert torch.get_num_threads() == count, "the caller's own number stays"


def test_items_are_read_few_ahead_and_in_the_callers_thread(count):
    read_so_far = []

    def items():
        for item in range(40):
            assert threading.current_thread() is threading.main_thread()
            read_so_far.append(item)
            yield item

    for done, _ in enumerate(in_threads(lambda item: item, items(), CPU), 1):
        assert len(read_so_far) <= done + count


def test_an_error_reaches_the_caller_and_ends_the_work(count):
    done = []

    def work(item):
        if item == 3:
            raise ValueError("of item 3")
        done.append(item)

    with pytest.raises(ValueError, match="of item 3"):
        list(in_threads(work, range(1000), CPU))
    assert len(done) < 20


def test_bounds_have_the_same_bits_whatever_the_number_of_threads(count):
    model, x = classifier("conv"), images(24)
    with torch.no_grad():
        labels = model(x).argmax(1)
    graph, parts = read(model), [slice(k, k + 4) for k in range(0, 24, 4)]

    def work(part):
        with torch.no_grad():
            return certify(graph, x[part], labels[part], 0.02, "linf")

    found = torch.cat(list(in_threads(work, parts, CPU)))
    torch.set_num_threads(1)
    assert torch.equal(found, torch.cat([work(part) for part in parts]))
