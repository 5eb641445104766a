import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.impute import missing_report


def events(n=400, seed=0, n_features=6):
    """Features 0 and 4, and 1 and 2, go missing together."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    no_first, no_second = rng.random(n) < 0.3, rng.random(n) < 0.5
    X[np.ix_(no_first, [0, 4])] = np.nan
    X[np.ix_(no_second, [1, 2])] = -999.0
    X[rng.random(n) < 0.1, 3] = np.nan
    names = ["lep_pt", "jet_lead_pt", "jet_lead_eta", "mass", "lep_eta", "met"]
    y = rng.choice(["tt", "H"], n)
    weight = rng.choice([-0.5, 0.0, 1.0, 2.0], n)
    return pd.DataFrame(X[:, :6], columns=names), y, weight


def slow_share(mask, weight):
    w = np.abs(weight)
    share = (w * mask).sum() / w.sum()
    return share, np.sqrt((w**2 * (mask - share) ** 2).sum()) / w.sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_features_against_the_definition(weighted):
    X, y, weight = events()
    report = missing_report(X, y, weight if weighted else None)
    weight = weight if weighted else np.ones(len(X))
    table = report.features
    assert table.index.tolist() == X.columns.tolist()
    assert report.classes == ["H", "tt"]
    assert report.n_events == np.count_nonzero(weight)
    for name in X.columns:
        mask = (X[name].isna() | (X[name] == -999.0)).to_numpy()
        assert table.loc[name, "n_events"] == np.count_nonzero(mask & (weight != 0))
        found = table.loc[name, ["fraction", "error"]].astype(float)
        np.testing.assert_allclose(found, slow_share(mask, weight), atol=1e-12)
        for label in ("H", "tt"):
            here = y == label
            found = table.loc[name, [f"fraction_{label}", f"error_{label}"]].astype(float)
            np.testing.assert_allclose(found, slow_share(mask[here], weight[here]), atol=1e-12)


def test_groups_and_patterns_against_the_definition():
    X, y, weight = events()
    report = missing_report(X, y, weight)
    groups = dict(zip(report.groups.index, report.groups["features"], strict=True))
    assert groups == {
        "jet_lead_* (2)": ("jet_lead_pt", "jet_lead_eta"),
        "lep_* (2)": ("lep_pt", "lep_eta"),
        "mass": ("mass",),
    }
    assert report.groups["fraction"].is_monotonic_decreasing
    assert report.groups.loc["mass", "fraction_H"] == report.features.loc["mass", "fraction_H"]
    missing = X.isna() | (X == -999.0)
    patterns = report.patterns
    assert report.n_patterns == len(patterns) == 8
    assert patterns["fraction"].is_monotonic_decreasing
    assert patterns["fraction"].sum() == pytest.approx(1.0)
    assert patterns["n_events"].sum() == report.n_events
    for features, fraction in zip(patterns["features"], patterns["fraction"], strict=True):
        expected = np.array([name in features for name in X.columns])
        mask = (missing.to_numpy() == expected).all(axis=1)
        assert fraction == pytest.approx(slow_share(mask, weight)[0])
    assert "no lep_* (2), jet_lead_* (2)" in patterns.index
    assert patterns.loc["complete", "features"] == ()


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), n_features=st.sampled_from([1, 7, 63, 64, 65, 130]))
def test_patterns_of_any_number_of_features(seed, n_features):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, n_features))
    X[rng.random(X.shape) < 1 / n_features] = np.nan
    report = missing_report(X, max_patterns=100)
    distinct, counts = np.unique(np.isnan(X), axis=0, return_counts=True)
    found = {
        frozenset(features): count
        for features, count in zip(
            report.patterns["features"], report.patterns["n_events"], strict=True
        )
    }
    expected = {
        frozenset(f"x{k}" for k in np.flatnonzero(mask)): count
        for mask, count in zip(distinct, counts, strict=True)
    }
    assert found == expected
    np.testing.assert_array_equal(report.features["n_events"], np.isnan(X).sum(axis=0))


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_order_and_unit_do_not_matter(seed, scale):
    X, y, weight = events(80, seed)
    order = np.random.default_rng(seed).permutation(len(X))
    one = missing_report(X, y, weight)
    other = missing_report(X.iloc[order], y[order], scale * weight[order])
    pd.testing.assert_frame_equal(one.features, other.features)
    assert one.n_patterns == other.n_patterns


def test_inputs_and_sentinels():
    X, y, _ = events()
    report = missing_report(X, y)
    for other in (pl.from_pandas(X), X.convert_dtypes(), X.astype(object)):
        pd.testing.assert_frame_equal(missing_report(other, y).features, report.features)
    array = missing_report(X.to_numpy(), y, feature_names=X.columns)
    pd.testing.assert_frame_equal(array.patterns, report.patterns)
    assert missing_report(X.to_numpy()).features.index[0] == "x0"
    only_nan = missing_report(X, missing_values=np.nan)
    assert only_nan.features.loc["jet_lead_pt", "n_events"] == 0
    masked = np.ma.array([[1.0, 2.0]], mask=[[0, 1]])
    assert missing_report(masked).features["n_events"].tolist() == [0, 1]


def test_complete_sample_and_first_patterns():
    report = missing_report(np.ones((3, 2)))
    assert report.groups.empty
    assert report.patterns.index.tolist() == ["complete"]
    assert "0 of 2 features" in repr(report)
    X, y, _ = events()
    first = missing_report(X, y, max_patterns=3)
    assert len(first.patterns) == 3
    assert first.n_patterns == 8


def test_text_and_html():
    X, y, weight = events()
    report = missing_report(X, y, weight)
    assert "5 of 6 features" in repr(report)
    assert "met" not in repr(report).replace("method", "")
    html = report._repr_html_()
    for text in ("jet_lead_* (2)", "fraction_tt", "complete", "Missing together"):
        assert text in html


def test_class_without_weight_has_no_share():
    report = missing_report([[np.nan], [1.0], [2.0]], ["a", "a", "b"], [1.0, 1.0, 0.0])
    assert report.features["fraction_a"].item() == 0.5
    assert np.isnan(report.features["fraction_b"].item())


def test_bad_input():
    X, y, _ = events()
    with pytest.raises(ValueError, match="y has shape"):
        missing_report(X, y[:-1])
    with pytest.raises(ValueError, match="sample_weight has 3 entries"):
        missing_report(X, sample_weight=[1, 2, 3])
    with pytest.raises(ValueError, match="max_patterns=0"):
        missing_report(X, max_patterns=0)
    with pytest.raises(ValueError, match="feature_names has 2 names, but X has 6 columns"):
        missing_report(X, feature_names=["a", "b"])
    with pytest.raises(ValueError, match="missing_values='x'"):
        missing_report(X, missing_values="x")
    with pytest.raises(ValueError, match=r"'process' of type .* holds more than numbers"):
        missing_report(X.assign(process=y))


def test_labels_that_are_no_classes_are_refused():
    X = np.random.default_rng(0).normal(size=(200, 2))
    for missing in (np.nan, None, pd.NA):
        y = np.array([1, missing] * 100, dtype=object)
        with pytest.raises(ValueError, match="y is missing in 100 events, first in event 1"):
            missing_report(X, y)
    with pytest.raises(ValueError, match="y takes 200 different values"):
        missing_report(X, X[:, 0])
    for wrong in (2.5, True, "3"):
        with pytest.raises(ValueError, match=r"max_patterns=.* must be an integer of 1 or more"):
            missing_report(X, max_patterns=wrong)
