import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skhep_ml.datasets import load_higgs
from skhep_ml.inspection import describe_events


def sample(seed=0, n=600, dtype=np.float64):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.column_stack(
        [rng.normal(91, 3, n), rng.exponential(30, n), rng.poisson(2, n), rng.normal(y, 1.0)]
    ).astype(dtype)
    X[rng.random(n) < 0.3, 1] = np.nan
    X[rng.random(n) < 0.2, 3] = -999.0
    weight = rng.exponential(2.0, n) * np.where((y == 0) & (rng.random(n) < 0.2), -1, 1)
    return X, y, weight


def missing_to_nan(X):
    return np.where(X == -999.0, np.nan, X)


def frames(description):
    names = ("features", "classes", "correlation", "class_bias", "sign_bias", "trends", "profiles")
    found = {name: getattr(description, name) for name in names}
    return {name: frame for name, frame in found.items() if frame is not None}


def assert_same(one, other, rtol=1e-7):
    left, right = frames(one), frames(other)
    assert left.keys() == right.keys()
    for name, frame in left.items():
        if name.endswith("_bias"):
            # equal distances may come in another order
            keys = ["feature", "class"]
            frame, right[name] = (
                part.sort_values(keys, ignore_index=True) for part in (frame, right[name])
            )
        if name == "trends":
            right[name] = right[name].loc[frame.index]
        pd.testing.assert_frame_equal(frame, right[name], rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_are_those_of_pandas_and_scipy(dtype):
    X, _, _ = sample(dtype=dtype)
    found = describe_events(X).features
    table = pd.DataFrame(missing_to_nan(X).astype(np.float64), columns=found.index)
    assert found["domain"].tolist() == ["real", "real", "integer", "real"]
    np.testing.assert_array_equal(found["distinct"], table.nunique())
    np.testing.assert_allclose(found["missing"], table.isna().mean())
    np.testing.assert_array_equal(found["infinite"], 0)
    np.testing.assert_array_equal(found["min"], table.min())
    np.testing.assert_array_equal(found["max"], table.max())
    np.testing.assert_allclose(found["mean"], table.mean())
    np.testing.assert_allclose(found["std"], table.std(ddof=0))
    np.testing.assert_allclose(found["skewness"], stats.skew(table, nan_policy="omit"))
    for label, q in {"0.1%": 0.001, "25%": 0.25, "50%": 0.5, "75%": 0.75, "99.9%": 0.999}.items():
        expected = [np.quantile(table[c].dropna(), q, method="inverted_cdf") for c in table]
        np.testing.assert_array_equal(found[label], expected)


def test_quantiles_and_moments_take_the_size_of_the_weight():
    X, y, weight = sample(1)
    found = describe_events(X, y, weight).features
    size = np.abs(weight)
    for k, name in enumerate(found.index):
        present = ~np.isnan(missing_to_nan(X)[:, k])
        x, w = X[present, k], size[present]
        for label, q in {"0.1%": 0.001, "50%": 0.5, "99.9%": 0.999}.items():
            expected = np.quantile(x, q, weights=w, method="inverted_cdf")
            assert found.loc[name, label] == expected
        mean = np.average(x, weights=w)
        assert found.loc[name, "mean"] == pytest.approx(mean)
        assert found.loc[name, "std"] == pytest.approx(
            np.sqrt(np.average((x - mean) ** 2, weights=w))
        )
        assert found.loc[name, "missing"] == pytest.approx(size[~present].sum() / size.sum())
        low, high = found.loc[name, ["25%", "75%"]]
        far = (x < low - 3 * (high - low)) | (x > high + 3 * (high - low))
        assert found.loc[name, "outliers"] == pytest.approx(w[far].sum() / w.sum())
    assert found["outliers"].max() > 0


def test_domains():
    rng = np.random.default_rng(0)
    n = 3000
    columns = {
        "empty": np.full(n, np.nan),
        "constant": np.full(n, 0.1),
        "binary": rng.integers(0, 2, n),
        "integer": rng.poisson(3, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "delta_phi": rng.uniform(0, np.pi, n),
        "turn": rng.uniform(0, 2 * np.pi, n),
        "eta": rng.uniform(-2.5, 2.5, n),
        "gauss": rng.normal(0, 1, n),
    }
    found = describe_events(pd.DataFrame(columns)).features
    assert found["domain"].to_dict() == {
        "empty": "empty",
        "constant": "constant",
        "binary": "binary",
        "integer": "integer",
        "phi": "angle",
        "delta_phi": "angle",
        "turn": "angle",
        "eta": "real",
        "gauss": "real",
    }
    assert found.loc["constant", "std"] == 0
    assert found.loc["empty", ["mean", "std", "min"]].isna().all()


def test_classes_in_closed_form():
    weight = np.array([2.0, -1.0, 3.0, 0.0, 0.5])
    y = np.array(["b", "b", "b", "b", "s"])
    found = describe_events(np.arange(5.0)[:, None], y, weight).classes
    expected = {
        "events": 4,
        "sum_weight": 4.0,
        "error": np.sqrt(14),
        "sum_abs_weight": 6.0,
        "negative_events": 0.25,
        "negative_weight": 1 / 6,
        "zero_events": 0.25,
        "effective_size": 16 / 14,
        "min_weight": -1.0,
        "max_weight": 3.0,
    }
    assert found.loc["b"].to_dict() == pytest.approx(expected)
    assert found.loc["s", "effective_size"] == 1.0
    assert describe_events(np.arange(5.0)[:, None]).classes.index.tolist() == ["all"]


def test_integer_weights_are_repeated_events():
    X, y, _ = sample(2, n=200)
    weight = np.random.default_rng(3).integers(1, 4, 200)
    weighted = describe_events(X, y, weight)
    rows = np.repeat(np.arange(200), weight)
    repeated = describe_events(X[rows], y[rows])
    pd.testing.assert_frame_equal(weighted.features, repeated.features)
    pd.testing.assert_frame_equal(weighted.correlation, repeated.correlation)
    sums = ["sum_weight", "sum_abs_weight"]
    np.testing.assert_allclose(weighted.classes[sums], repeated.classes[sums])
    np.testing.assert_allclose(weighted.class_bias["distance"], repeated.class_bias["distance"])
    np.testing.assert_allclose(
        weighted.class_bias["missing_difference"], repeated.class_bias["missing_difference"]
    )


@settings(max_examples=5)
@given(st.integers(0, 2**31), st.sampled_from([1e-9, 1.0, 1e6]))
def test_order_of_rows_and_unit_of_weights_do_not_matter(seed, unit):
    X, y, weight = sample(4, n=300)
    time = np.random.default_rng(5).integers(0, 100, 300)
    rows = np.random.default_rng(seed).permutation(300)
    one = describe_events(X, y, weight, order=time, n_bins=5)
    other = describe_events(X[rows], y[rows], weight[rows] * unit, order=time[rows], n_bins=5)
    scaled = ["sum_weight", "error", "sum_abs_weight", "min_weight", "max_weight"]
    other.classes[scaled] /= unit
    other.trends.loc["sample_weight", ["overall", "spread"]] /= unit
    of_weight = other.profiles["feature"] == "sample_weight"
    other.profiles.loc[of_weight, ["mean", "error"]] /= unit
    assert_same(one, other)


def test_sign_of_weights_does_not_enter_what_says_abs():
    X, _, weight = sample(6)
    one, other = describe_events(X, None, weight), describe_events(X, None, np.abs(weight))
    pd.testing.assert_frame_equal(one.features, other.features)
    pd.testing.assert_frame_equal(one.correlation, other.correlation)
    assert one.sign_bias is not None
    assert other.sign_bias is None


def slow_correlation(X, weight):
    n = X.shape[1]
    out = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            both = ~np.isnan(X[:, i]) & ~np.isnan(X[:, j])
            covariance = np.cov(X[both][:, [i, j]].T, aweights=weight[both], ddof=0)
            out[i, j] = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_correlation_is_that_of_the_common_events(dtype):
    X, y, weight = sample(7, dtype=dtype)
    clean = missing_to_nan(X).astype(np.float64)
    plain = describe_events(X).correlation
    np.testing.assert_allclose(plain, pd.DataFrame(clean).corr(), atol=1e-12)
    found = describe_events(X, y, weight, class_correlation=True)
    np.testing.assert_allclose(found.correlation, slow_correlation(clean, abs(weight)), atol=1e-12)
    for label, matrix in found.class_correlation.items():
        mine = y == label
        expected = slow_correlation(clean[mine], abs(weight[mine]))
        np.testing.assert_allclose(matrix, expected, atol=1e-12)


def test_correlation_of_hard_columns():
    rng = np.random.default_rng(8)
    x = rng.normal(size=400)
    table = pd.DataFrame(
        {
            "x": x,
            "offset": 1e9 + x,
            "huge": 1e200 * x,
            "constant": 0.1,
            "apart": np.where(np.arange(400) < 200, x, np.nan),
            "other": np.where(np.arange(400) >= 200, x, np.nan),
            "wild": np.append(x[:-1], 1e15),
        }
    )
    table.loc[399, "apart"] = np.nan
    found = describe_events(table).correlation
    assert found.loc["x", "huge"] == 1.0
    assert found.loc["x", "offset"] == pytest.approx(1.0, abs=1e-12)
    assert found["constant"].isna().all()
    assert np.isnan(found.loc["apart", "other"])
    # the one wild value is not among the events in common
    assert found.loc["apart", "wild"] == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_array_equal(np.diag(found.drop(index="constant", columns="constant")), 1.0)


def test_tables_of_all_kinds_are_the_same():
    X, y, weight = sample(9)
    names = ["m", "pt", "n_jets", "score"]
    time = np.arange(len(X))[::-1]
    expected = describe_events(X, y, weight, order=time, feature_names=names)
    pandas = pd.DataFrame(X, columns=names)
    pandas["time"] = time
    polars = pl.from_pandas(pandas)
    nullable = pandas.convert_dtypes()
    nullable["score"] = nullable["score"].mask(pandas["score"] == -999.0)
    for table in (pandas, polars, nullable):
        found = describe_events(table, pd.Series(y), pd.Series(weight), order="time")
        assert_same(found, expected)
        assert found.order_name == "time"
    masked = np.ma.masked_array(X, X == -999.0)
    assert_same(
        describe_events(masked, y, weight, order=time, feature_names=names, missing_values=np.nan),
        expected,
    )


def test_a_clean_sample_has_no_findings():
    rng = np.random.default_rng(10)
    n = 5000
    y = rng.integers(0, 2, n)
    X = np.column_stack([rng.normal(y), rng.exponential(1.0, n), rng.poisson(3, n)])
    found = describe_events(X, y, groups=np.arange(n), order=rng.integers(0, 1000, n))
    assert found.findings == []
    assert "none" in repr(found)
    assert "Nothing stands out" in found._repr_html_()


def test_planted_trouble_is_found():
    rng = np.random.default_rng(11)
    n = 4000
    y = np.where(np.arange(n) < 30, "rare", np.where(rng.random(n) < 0.5, "s", "b"))
    run = rng.integers(0, 200, n)
    good = rng.normal(size=n)
    table = pd.DataFrame(
        {
            "run": run,
            "good": good,
            "twice": 3 - 2 * good,
            "drifts": rng.normal(run / 200, 1.0),
            "stuck": 1.5,
            "gone": np.nan,
            "broken": np.where(np.arange(n) % 1000 == 7, np.inf, rng.normal(size=n)),
            "unlisted": np.where(rng.random(n) < 0.2, -99.0, rng.exponential(50, n)),
            "decades": rng.lognormal(0, 3.0, n),
            "far": np.append(rng.normal(size=n - 1), 1e5),
            "entry": rng.permutation(n),
            "label": np.where(y == "rare", 5.0, rng.normal(size=n)),
            "flag": np.where(y == "rare", np.nan, rng.normal(size=n)),
        }
    )
    weight = np.ones(n)
    weight[5] = 100.0
    weight[y == "b"] = np.where(rng.random(np.sum(y == "b")) < 0.3 * (good[y == "b"] > 0), -1, 1)
    weight[np.flatnonzero(y == "s")[0]] = 0.0
    found = describe_events(
        table, y, weight, order="run", groups=np.append(np.arange(n - 2), [3, 3])
    )
    text = "\n".join(found.findings)
    for sentence in (
        "class 'rare' is worth 1.66 unweighted events (30 events)",
        "class 'b' has negative weights in",
        "class 'rare': one event carries 77.5% of the weight",
        "class 's' has weight zero in 1 of its events",
        "repeated event identifiers: 1, with 2 events too many, for example 3 in 3 events",
        "the class can be read off, as from a leaked label: 'label'",
        "missing in one class and present in the other, which tells the class: 'flag'",
        "class 'b': events of negative weight are distributed unlike the others",
        "1 feature with a trend along run: 'drifts'",
        "'broken' is infinite in 4 events",
        "1 feature without a single value: 'gone'",
        "1 constant feature: 'stuck'",
        "'unlisted' is -99, at the end of its range, in",
        "a different integer in every event, as an event number has: 'entry'",
        "1 feature over orders of magnitude (logarithm before training): 'decades'",
        "'far' reaches 100,000, but 99.8% of the weight lies between",
        "features that are linear functions of each other: 'good' and 'twice'",
    ):
        assert sentence in text
    assert found.features.loc["broken", "infinite"] == 4
    assert text in repr(found).replace("\n  - ", "\n")
    assert found.trends.index[0] == "drifts"
    # listed, the sentinel is none
    table["unlisted"] = table["unlisted"].replace(-99.0, np.nan)
    assert "unlisted" not in "\n".join(describe_events(table).findings)


def test_a_class_without_positive_sum_is_said_not_refused():
    found = describe_events(np.arange(4.0)[:, None], [0, 0, 1, 1], [1.0, -1.0, 1.0, 1.0])
    assert "class 0 has weights that sum to 0: no model or metric can use it" in found.findings
    assert found.class_bias["distance"].isna().all()
    assert found.sign_bias.set_index("class").loc[0, "distance"] == 1.0


def test_html_escapes_names():
    found = describe_events(pd.DataFrame({"<b>x</b>": np.ones(3), "y": [1.0, 2.0, 3.0]}))
    page = found._repr_html_()
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>" not in page
    assert page.count("<table") == 2


def test_embedded_sample():
    events = load_higgs(weights="signed")
    found = describe_events(
        events.data,
        events.target,
        events.weight,
        groups=events.event_number,
        feature_names=events.feature_names,
    )
    assert found.duplicates.n_extra == 0
    assert found.features.loc["tau_phi", "domain"] == "angle"
    assert found.features.loc["n_jets", "domain"] == "integer"
    # the signs were drawn by the number of jets
    assert found.sign_bias.loc[0, "feature"] == "n_jets"
    yields = {k: events.weight[events.target == k].sum() for k in (0, 1)}
    assert found.classes["sum_weight"].to_dict() == pytest.approx(yields)
    text = repr(found)
    assert text.splitlines()[0] == "SampleDescription: 67,549 events, 30 features"
    assert max(len(line) for line in text.splitlines()) < 260


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "run"}, r"order='run' is not a column of X, whose columns are \['x0', 'x1'\]"),
        ({"order": [1, 2]}, r"order 'order' has shape \(2,\), but there are 4 events"),
        ({"order": [1.0, np.nan, 2.0, 3.0]}, "is missing or infinite in event 1"),
        ({"order": ["a", "b", "c", "d"]}, "must hold numbers or times"),
        ({"order": [5, 5, 5, 5]}, "has the one value 5 only"),
        ({"n_bins": 1}, "n_bins=1 must be an integer of at least 2"),
        ({"groups": [1.0, 2.0, 3.0, 4.0]}, "event identifiers must be integers, got float64"),
        ({"groups": [1, 2]}, "groups has 2 entries, but there are 4 events"),
        ({"sample_weight": [1.0, 2.0]}, "sample_weight has 2 entries"),
        ({"sample_weight": [1.0, np.nan, 1.0, 1.0]}, "sample_weight is NaN or infinite"),
        ({"y": [0, 1]}, r"y has shape \(2,\), but there are 4 events"),
        ({"y": [0.0, 1.0, np.nan, 1.0]}, "y is missing in 1 events, first in event 2"),
        ({"y": np.array(["a", None, "b", "a"], dtype=object)}, "y is missing in 1 events"),
        ({"X": np.zeros(4)}, r"X must be a table of shape .*, got \(4,\)"),
        ({"X": np.zeros((4, 2, 3))}, r"X must be a table"),
        ({"X": np.zeros((0, 2))}, "X is empty"),
        ({"feature_names": ["a"]}, "2 columns need as many different names"),
        ({"feature_names": ["a", "a"]}, "2 columns need as many different names"),
        ({"X": pd.DataFrame({"a": range(4)}), "feature_names": ["a"]}, "feature_names is for"),
        ({"X": pd.DataFrame({"a": range(4)}), "order": "a"}, "X has no column but 'a'"),
        ({"X": pd.DataFrame({"Label": list("sbsb")})}, "column 'Label' does not hold numbers"),
        ({"X": pl.DataFrame({"Label": list("sbsb")})}, "column 'Label' does not hold numbers"),
        ({"missing_values": "NA"}, "missing_values='NA' must be numbers"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"X": np.arange(8.0).reshape(4, 2)} | change
    with pytest.raises(ValueError, match=message):
        describe_events(**arguments)


def test_a_continuous_target_is_refused():
    rng = np.random.default_rng(12)
    with pytest.raises(ValueError, match="more than 100 classes"):
        describe_events(rng.normal(size=(200, 2)), rng.normal(size=200))


def test_mostly_missing_and_rare_features_are_found():
    rng = np.random.default_rng(12)
    n = 2000
    y = rng.integers(0, 2, n)
    table = pd.DataFrame({name: rng.normal(size=n) for name in ("full", "few", "half", "class")})
    table.loc[table.index[40:], "few"] = np.nan
    table.loc[table.index[n // 4 :], "half"] = -999.0
    table.loc[(y == 1) & (rng.random(n) < 0.7), "class"] = np.nan
    table["line"] = np.where(np.arange(n) < 29, 2 * table["few"], np.nan)
    text = "\n".join(describe_events(table, y).findings)
    share = np.isnan(table["class"].to_numpy()[y == 1]).mean()
    assert (
        "4 features missing in more than half of the weight, over all or in a class: 'few' "
        f"(98.0%), 'half' (75.0%), 'class' ({100 * share:.1f}% of class 1), 'line' (98." in text
    )
    assert "2 features present in fewer than 50 events: 'few' (40), 'line' (29)" in text
    assert "linear functions" not in text
    table["line"] = np.where(np.arange(n) < 30, 2 * table["few"], np.nan)
    text = "\n".join(describe_events(table, y).findings)
    assert "linear functions of each other: 'few' and 'line'" in text
