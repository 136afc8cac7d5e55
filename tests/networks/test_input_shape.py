"""The images and classes that weights were made for, found from their shapes alone."""

import pytest

from advcli.catalog import discovery
from advcli.errors import CommandError
from advcli.networks import architecture, input_shape

CNN = discovery.spec("architecture", "cnn").bind({"width": 2, "hidden": 4})


@pytest.mark.parametrize("size", [8, 28, 32, 48, 64, 96, 128, 160, 192, 224, 256, 384])
def test_images_of_every_usual_size_are_recognised(size):
    tensors = architecture.network(CNN, (3, size, size), 5).state_dict()
    assert input_shape.find_fit(CNN, tensors, None, None, "weights.pt")[:2] == ((3, size, size), 5)


def test_of_several_sizes_that_fit_the_user_chooses():
    """A network that takes the mean over all places has the same weights for every size."""
    bound = discovery.spec("architecture", "wrn-10-2").bind({})
    tensors = architecture.network(bound, (3, 32, 32), 5).state_dict()
    with pytest.raises(CommandError, match=r"of several sizes \(3x8x8 and 3x28x28\); choose one"):
        input_shape.find_fit(bound, tensors, None, None, "weights.pt")
    assert input_shape.find_fit(bound, tensors, "3x32x32", None, "weights.pt")[:2] == ((3, 32, 32), 5)
