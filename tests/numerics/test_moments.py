"""Streaming moments and quantiles of groups against NumPy's on the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advcli.numerics.moments import COARSE, FINE, MOST_CELLS, QUANTILES, Grid, Moments, row, summary

SHARES = np.array(list(QUANTILES.values()))


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e3, 1e3)), st.integers(1, 60), st.integers(1, 4))
def test_streaming_moments_equal_numpys_in_every_group(values, cut, groups):
    group, found = np.arange(len(values)) ** 2 % groups, Moments(groups)
    for start in range(0, len(values), cut):
        found.add(group[start : start + cut], values[start : start + cut])
    columns = found.columns()
    for k in range(groups):
        mine = values[group == k]
        assert columns["n"][k] == len(mine)
        if len(mine):
            assert columns["mean"][k] == pytest.approx(mine.mean(), abs=1e-9)
            assert columns["std"][k] == pytest.approx(mine.std(), abs=1e-6)
            assert (columns["min"][k], columns["max"][k]) == (mine.min(), mine.max())


def test_rows_of_many_values_are_all_counted():
    values = np.random.default_rng(0).normal(size=(50, 3, 4, 4)).astype(np.float32)
    group, found = np.arange(50) % 3, Moments(3)
    for start in range(0, 50, 7):
        found.add(group[start : start + 7], values[start : start + 7])
    for k in range(3):
        mine = values[group == k].astype(np.float64)
        wanted = [mine.size, mine.mean(), mine.std(), mine.min(), mine.max()]
        assert [column[k] for column in found.columns().values()] == pytest.approx(wanted, rel=1e-12)


def test_moments_do_not_cancel():
    values = 1e6 + np.random.default_rng(0).normal(size=60_000)
    found = Moments(1)
    for part in np.split(values, 60):
        found.add(np.zeros(len(part), np.int64), part)
    assert found.columns()["std"][0] == pytest.approx(values.std(), rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.integers(0, 60), elements=st.floats(-1e3, 1e3)), st.integers(1, 4))
def test_quantiles_of_values_in_memory_are_numpys(values, groups):
    group = np.arange(len(values)) % groups
    columns = summary(group, values, groups)
    for k in range(groups):
        mine, line = values[group == k], row(columns, k)
        if len(mine):
            assert [line[name] for name in QUANTILES] == pytest.approx(list(np.quantile(mine, SHARES)), abs=1e-9)
            assert line["quantiles_within"] == 0
        else:
            assert {line[name] for name in QUANTILES} == {line["mean"], line["quantiles_within"]} == {None}


@pytest.mark.parametrize(("groups", "steps"), [(2, FINE), (5000, COARSE)])
def test_quantiles_on_a_grid_are_as_close_as_they_say(groups, steps):
    draw = np.random.default_rng(0)
    values = np.concatenate([draw.uniform(-1, 1, (30, 5, 5)), np.zeros((9, 5, 5))]).astype(np.float32)
    group, found = np.arange(39) % 2 * (groups - 1), Grid(groups, -1, 1)
    for start in range(0, 39, 10):
        found.add(group[start : start + 10], values[start : start + 10])
    columns = found.columns()
    assert columns["quantiles_within"][0] == 0.5 / steps
    for k in (0, groups - 1):
        wanted = np.quantile(values[group == k].astype(np.float64), SHARES)
        assert np.abs(np.array([columns[name][k] for name in QUANTILES]) - wanted).max() <= 0.5 / steps + 1e-7


@pytest.mark.parametrize("groups", [1, 5000])
def test_bytes_lie_on_the_grid(groups):
    values, found = (np.random.default_rng(0).integers(0, 256, (20, 30)) / np.float32(255)).astype(np.float32), Grid(groups, 0, 1)
    found.add(np.zeros(20, np.int64), values)
    assert [found.columns()[name][0] for name in QUANTILES] == pytest.approx(list(np.quantile(values, SHARES)), abs=1e-6)


def test_a_grid_of_any_width_is_small_and_says_how_coarse_it_is():
    """Values of images that were not clipped have no usual range."""
    values = np.linspace(-40_000, 60_000, 5_001)[None]
    grid = Grid(1, -40_000, 60_000)
    grid.add(np.zeros(1, np.int64), values)
    assert grid.counts.nbytes <= 8 * (MOST_CELLS + 1)
    found = grid.columns()
    for name, share in QUANTILES.items():
        assert abs(found[name][0] - np.quantile(values, share)) <= found["quantiles_within"][0] + 1e-6
    assert 0 < found["quantiles_within"][0] < 0.02
