import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skhep_ml.impute import DropMissingColumns, DropMissingRows, MissingValueImputer


def table(n=200, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    X[rng.random((n, 5)) < [0.0, 0.2, 0.5, 0.8, 1.0]] = np.nan
    X[::3] = np.where(np.isnan(X[::3]), -999.0, X[::3])
    return X.astype(dtype), rng.choice([-1.0, 0.0, 0.5, 3.0], n)


@given(seed=st.integers(0, 1000), limit=st.floats(0, 1), scale=st.floats(1e-6, 1e6))
def test_columns_against_the_definition(seed, limit, scale):
    X, weight = table(seed=seed)
    missing = np.isnan(X) | (X == -999.0)
    share = np.abs(weight) @ missing / np.abs(weight).sum()
    selector = DropMissingColumns(limit).fit(X, sample_weight=weight)
    np.testing.assert_allclose(selector.missing_fraction_, share, atol=1e-12)
    np.testing.assert_array_equal(selector.get_support(), share <= limit)
    np.testing.assert_array_equal(selector.transform(X), X[:, share <= limit])
    order = np.random.default_rng(seed).permutation(len(X))
    other = DropMissingColumns(limit).fit(X[order], sample_weight=scale * weight[order])
    np.testing.assert_array_equal(other.support_, selector.support_)


def test_limit_that_is_reached_exactly():
    X = np.array([[np.nan, 1.0]] * 3 + [[1.0, 1.0]] * 7)
    for weight in (None, np.full(10, 0.1), -np.full(10, 1e5 / 3)):
        assert DropMissingColumns(0.3).fit(X, sample_weight=weight).support_.all()
        assert DropMissingColumns(0.299).fit(X, sample_weight=weight).support_.sum() == 1


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_data_frames(frame):
    X = frame({"met": [20.0, 50.0, 30.0], "jet2": [-999.0, 30.0, None], "n": [0, 1, 2]})
    backend = "pandas" if frame is pd.DataFrame else "polars"
    selector = DropMissingColumns().set_output(transform=backend).fit(X)
    kept = selector.transform(X[["n", "jet2", "met"]])
    assert isinstance(kept, frame)
    assert list(kept.columns) == ["met", "n"]
    assert selector.get_feature_names_out().tolist() == ["met", "n"]
    assert selector.get_support(indices=True).tolist() == [0, 2]
    np.testing.assert_array_equal(kept.to_numpy(), [[20, 0], [50, 1], [30, 2]])
    with pytest.raises(ValueError, match="missing"):
        selector.transform(X[["met", "n"]])


def test_columns_keep_type_sentinels_and_come_back():
    X, _ = table(dtype=np.float32)
    X[0, 0] = np.inf
    selector = DropMissingColumns(0.4)
    kept = selector.fit_transform(X)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(kept, X[:, :2])
    back = selector.inverse_transform(kept)
    np.testing.assert_array_equal(back[:, :2], X[:, :2])
    assert np.isnan(back[:, 2:]).all()
    with pytest.raises(ValueError, match="3 columns, but 2 are kept"):
        selector.inverse_transform(X[:, :3])


def test_masked_columns():
    X = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 1], [0, 1]])
    selector = DropMissingColumns().fit(X)
    assert selector.support_.tolist() == [True, False]
    assert selector.transform(X).tolist() == [[1.0], [3.0]]


def test_columns_in_a_pipeline():
    X, _ = table()
    y = (X[:, 0] > 0).astype(int)
    model = make_pipeline(DropMissingColumns(0.6), MissingValueImputer(), LogisticRegression())
    assert model.fit(X, y).score(X, y) > 0.95
    assert model[:-1].get_feature_names_out().tolist() == ["x0", "x1", "x2"]


def test_bad_columns():
    X, _ = table()
    with pytest.raises(ValueError, match=r"every column is missing in more than max_fraction=0\.1"):
        DropMissingColumns(0.1).fit(X[:, 2:])
    for limit in (-0.1, 1.5, "0.5", np.nan):
        with pytest.raises(ValueError, match=r"max_fraction=.* between 0 and 1"):
            DropMissingColumns(limit).fit(X)
    with pytest.raises(ValueError, match="NaN or infinite"):
        DropMissingColumns().fit(X, sample_weight=np.full(len(X), np.nan))


@given(seed=st.integers(0, 1000), limit=st.integers(0, 4))
def test_rows_against_the_definition(seed, limit):
    X, weight = table(60, seed)
    y = np.arange(60) % 3
    event = np.column_stack([np.full(60, 7), np.arange(60) + 2**60])
    missing = (np.isnan(X) | (X == -999.0)).sum(axis=1)
    rows = np.flatnonzero(missing <= limit)
    sampler = DropMissingRows(limit)
    if not len(rows):
        with pytest.raises(ValueError, match="each of the 60 events"):
            sampler.fit_resample(X, y)
        return
    out = sampler.fit_resample(X, y, sample_weight=weight, groups=event)
    for found, given_values in zip(out, (X, y, weight, event), strict=True):
        np.testing.assert_array_equal(found, given_values[rows])
    np.testing.assert_array_equal(sampler.sample_indices_, rows)
    assert len(sampler.fit_resample(X, y)) == 2


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_rows_of_data_frames(frame):
    X = frame(
        {
            "process": ["Z", "H", "Z", "tt"],
            "pt": [-999.0, 30.0, 40.0, None],
            "m": [1.0, 2.0, -999.0, 4.0],
        }
    )
    y = pd.Series([0, 1, 0, 1], name="label") if frame is pd.DataFrame else pl.Series([0, 1, 0, 1])
    kept, labels, weight = DropMissingRows(columns="pt").fit_resample(
        X, y, sample_weight=[1.0, -2.0, 3.0, 4.0]
    )
    assert isinstance(kept, frame)
    assert isinstance(labels, type(y))
    assert kept["process"].to_list() == ["H", "Z"]
    assert labels.to_list() == [1, 0]
    assert weight.tolist() == [-2.0, 3.0]
    by_position, _ = DropMissingRows(columns=[1, 2]).fit_resample(X, y)
    assert by_position["process"].to_list() == ["H"]


def test_rows_of_masked_and_integer_arrays():
    X = np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    kept, y = DropMissingRows().fit_resample(X, [0, 1])
    assert kept.tolist() == [[3.0, 4.0]]
    counts = np.array([[0, 1], [-1, 2], [3, -1]])
    # half of a sentinel is no integer: the zero is a value
    kept, _ = DropMissingRows(missing_values=(-1, -0.5)).fit_resample(counts, y * 3)
    assert kept.tolist() == [[0, 1]]
    assert kept.dtype == counts.dtype


def test_rows_in_an_imblearn_pipeline():
    X, _ = table(400)
    y = (X[:, 0] > 0).astype(int)
    columns = X[:, :3]
    model = make_imblearn_pipeline(DropMissingRows(), LogisticRegression())
    model.fit(columns, y)
    rows = np.flatnonzero(~(np.isnan(columns) | (columns == -999.0)).any(axis=1))
    expected = LogisticRegression().fit(columns[rows], y[rows])
    np.testing.assert_allclose(model[-1].coef_, expected.coef_)


def test_bad_rows():
    X, _ = table()
    y = np.zeros(len(X))
    for limit in (-1, 0.5, True):
        with pytest.raises(ValueError, match="max_missing="):
            DropMissingRows(limit).fit_resample(X, y)
    with pytest.raises(ValueError, match="columns names 'pt'"):
        DropMissingRows(columns=["pt"]).fit_resample(X, y)
    with pytest.raises(ValueError, match="takes tables"):
        DropMissingRows().fit_resample(np.ones((3, 2, 2)), [0, 1, 0])
    with pytest.raises(ValueError, match=r"'process' of type .* holds more than numbers"):
        DropMissingRows().fit_resample(pd.DataFrame({"process": ["Z", "H"]}), [0, 1])
    with pytest.raises(ValueError, match="identifiers must be integers"):
        DropMissingRows().fit_resample(X, y, groups=y)


def test_imputer_needs_no_imblearn():
    code = "import sys, skhep_ml.impute; assert 'imblearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_rows_text_column_is_named(frame):
    X = frame({"pt": [1.0, None], "process": ["a", "b"]})
    with pytest.raises(ValueError, match=r"column 'process' of type .* holds more than numbers"):
        DropMissingRows().fit_resample(X, [0, 1])
    kept, _ = DropMissingRows(columns="pt").fit_resample(X, [0, 1])
    assert kept["process"].to_list() == ["a"]
