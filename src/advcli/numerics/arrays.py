"""The type of a NumPy array of any kind and shape."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
