"""The curve of an audit: its line, and the band of the intervals."""

from types import SimpleNamespace

import pytest

from advcli.auditing.curve import _drawing


def point(value, low, high):
    more = {"undefined": False, "spread": None}
    return SimpleNamespace(value=value, low=low, high=high, k=1, n=2, set="s", threat=SimpleNamespace(epsilon="0.1"), **more)


def test_the_band_goes_from_the_lower_to_the_upper_ends():
    points = [("0.1", point(0.5, 0.4, 0.7)), ("0.2", point(0.3, None, None))]
    (axes,) = _drawing(points, "linf", point(0.9, 0.8, 0.95), []).figure.axes
    (line,), (band,) = axes.lines, axes.collections
    assert line.get_ydata() == pytest.approx([0.9, 0.5, 0.3])
    corners = {(round(x, 3), round(y, 3)) for x, y in band.get_paths()[0].vertices}
    assert {(0, 0.8), (0, 0.95), (0.1, 0.4), (0.1, 0.7), (0.2, 0.3)} <= corners
    assert len({y for x, y in corners if x == 0.2}) == 1, "without an interval the value alone"
