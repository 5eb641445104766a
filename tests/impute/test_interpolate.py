import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.impute import MissingValueImputer


def readings(n=200, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "hv": rng.normal(100, 1, n),
            "time": rng.permutation(n // 2).repeat(2) * 0.5,
            "temperature": rng.normal(20, 2, n),
        }
    )
    for column in ("hv", "temperature"):
        frame.loc[rng.random(n) < 0.3, column] = -999.0
    return frame, rng.choice([-0.5, 0.2, 1.0, 2.0], n)


def slow_curve(train, weight, column, time):
    """Interpolated weighted mean of one column at one time, straight from the definition."""
    present = train[column] != -999.0
    times = np.unique(train["time"][present])
    means = [
        np.average(train[column][here], weights=np.abs(weight[here]))
        for here in (present & (train["time"] == t) for t in times)
    ]
    if time <= times[0]:
        return means[0]
    if time >= times[-1]:
        return means[-1]
    k = np.searchsorted(times, time, side="right") - 1
    share = (time - times[k]) / (times[k + 1] - times[k])
    return means[k] + (means[k + 1] - means[k]) * share


def test_between_events_follows_the_definition():
    train, weight = readings()
    test, _ = readings(40, seed=1)
    test["time"] += 0.25
    test.loc[0, "time"], test.loc[1, "time"] = -5.0, 1e6
    test.loc[[0, 1], ["hv", "temperature"]] = np.nan
    imputer = MissingValueImputer("interpolate", axis="time").set_output(transform="pandas")
    filled = imputer.fit(train, sample_weight=weight).transform(test)
    for column in ("hv", "temperature"):
        for row in range(len(test)):
            value = test[column][row]
            if np.isnan(value) or value == -999.0:
                value = slow_curve(train, weight, column, test["time"][row])
            assert filled[column][row] == pytest.approx(value, rel=1e-12)
    pd.testing.assert_series_equal(filled["time"], test["time"])


def test_linear_function_of_time_is_restored():
    time = np.arange(50.0)
    X = np.column_stack([3.0 * time - 7.0, time])
    holes = np.random.default_rng(0).permutation(np.arange(1, 49))[:20]
    marked = X.copy()
    marked[holes, 0] = np.nan
    filled = MissingValueImputer("interpolate", axis=1).fit_transform(marked)
    np.testing.assert_allclose(filled, X, rtol=1e-12)


def test_zero_weight_events_are_no_neighbours():
    X = np.array([[0.0, 0.0], [1.0, 99.0], [2.0, np.nan], [4.0, 8.0]])
    imputer = MissingValueImputer("interpolate", axis=0).fit(X, sample_weight=[1, 0, 1, -1])
    assert imputer.transform(X)[2, 1] == 4.0


def test_missing_position_takes_the_median():
    X = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 9.0], [np.nan, np.nan]])
    filled = MissingValueImputer("interpolate", axis=0).fit_transform(X)
    assert filled[3].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_by_name_in_another_order(frame):
    train, _ = readings()
    imputer = MissingValueImputer("interpolate", axis="time", add_indicator=True)
    expected = imputer.fit_transform(train)
    swapped = frame({name: train[name].to_numpy() for name in ("temperature", "time", "hv")})
    np.testing.assert_array_equal(imputer.transform(swapped), expected)
    assert imputer.get_feature_names_out().tolist() == [
        "hv",
        "time",
        "temperature",
        "missingindicator_hv",
        "missingindicator_temperature",
    ]


def slow_samples(trace):
    """np.interp over one trace; a trace without samples is left as it is."""
    present = ~np.isnan(trace)
    step = np.arange(len(trace))
    return np.interp(step, step[present], trace[present]) if present.any() else trace


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n_steps=st.integers(2, 9), share=st.floats(0, 1))
def test_between_samples_against_numpy(seed, n_steps, share):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, n_steps + 1))
    X[1:, :n_steps][rng.random((29, n_steps)) < share] = np.nan
    order = rng.permutation(n_steps)
    filled = MissingValueImputer("interpolate", axis=order).fit_transform(X)
    for row, trace in zip(filled, X, strict=True):
        expected = slow_samples(trace[order])
        known = ~np.isnan(expected)
        np.testing.assert_allclose(row[order][known], expected[known], rtol=1e-12)
        assert row[n_steps] == trace[n_steps]


def test_samples_keep_their_type_and_fall_back_to_the_median():
    X = pd.DataFrame(
        {
            "s0": [1.0, -99.0, 5.0],
            "s1": [2.0, -99.0, -99.0],
            "s2": [3.0, -99.0, 7.0],
            "pt": [1.0, 2.0, -99.0],
        },
        dtype=np.float32,
    )
    imputer = MissingValueImputer("interpolate", axis=["s0", "s1", "s2"], missing_values=-99)
    filled = imputer.fit_transform(X)
    assert filled.dtype == np.float32
    expected = [[1, 2, 3, 1], [3, 2, 5, 2], [5, 6, 7, 1.5]]
    np.testing.assert_array_equal(filled, expected)


def test_dead_sample_is_interpolated_without_warning():
    X = np.array([[1.0, np.nan, 3.0], [4.0, np.nan, 8.0]])
    filled = MissingValueImputer("interpolate", axis=range(3)).fit_transform(X)
    assert filled[:, 1].tolist() == [2.0, 6.0]


def test_empty_column_beside_the_axis():
    X = np.array([[0.0, np.nan], [1.0, np.nan]])
    with pytest.warns(EmptyColumnWarning, match="column 1"):
        filled = MissingValueImputer("interpolate", axis=0, fill_value=5.0).fit_transform(X)
    assert filled[:, 1].tolist() == [5.0, 5.0]


def test_traces_of_several_channels():
    nan = np.nan
    X = np.array(
        [
            # a lost step, a missing value, and padding at the end
            [[0.0, 10.0], [nan, nan], [4.0, 30.0], [nan, 40.0], [nan, nan]],
            # the first step is lost, one channel has no value at all
            [[nan, nan], [nan, 2.0], [nan, -999.0], [nan, 6.0], [nan, 8.0]],
        ]
    )
    imputer = MissingValueImputer("interpolate", add_indicator=True)
    filled = imputer.fit_transform(X)
    median = imputer.statistics_[0]
    assert median == 2.0
    expected = [
        [[0, 10, 0, 0], [2, 20, 1, 1], [4, 30, 0, 0], [4, 40, 1, 0], [nan, nan, nan, nan]],
        [[2, 2, 1, 1], [2, 2, 1, 0], [2, 4, 1, 1], [2, 6, 1, 0], [2, 8, 1, 0]],
    ]
    np.testing.assert_array_equal(filled, expected)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (None, "needs an axis"),
        ("tim", r"axis names 'tim', but the columns are \['hv', 'time', 'temperature'\]"),
        (7, "axis names 7"),
        (True, "axis names True"),
        (1.5, "axis names 1.5"),
        (["time"], "lists 1 columns.*without a list"),
        (["hv", "hv"], "names a column twice"),
        (["hv", "x"], "axis names 'x'"),
    ],
)
def test_bad_axis(axis, message):
    with pytest.raises(ValueError, match=message):
        MissingValueImputer("interpolate", axis=axis).fit(readings()[0])


def test_bad_input():
    frame, weight = readings()
    with pytest.raises(ValueError, match="axis names 'time'"):
        MissingValueImputer("interpolate", axis="time").fit(frame.to_numpy())
    with pytest.raises(ValueError, match="orders the events holds no value"):
        MissingValueImputer("interpolate", axis="time").fit(frame.assign(time=np.nan))
    with pytest.raises(ValueError, match="infinity in column 'time'"):
        MissingValueImputer("interpolate", axis="time").fit(frame.assign(time=np.inf))
    cloud = np.ones((4, 2, 3))
    with pytest.raises(ValueError, match="along their second axis"):
        MissingValueImputer("interpolate", axis=1).fit(cloud)
    fitted = MissingValueImputer("interpolate", axis="time").fit(frame, sample_weight=weight)
    with pytest.raises(ValueError, match="X is a cloud, but the imputer was fitted"):
        fitted.transform(cloud)
    with pytest.raises(ValueError, match="X is a table, but the imputer was fitted"):
        MissingValueImputer("interpolate").fit(cloud).transform(cloud[0])


@pytest.mark.parametrize("kind", ["pandas", "zone", "polars"])
def test_times_order_the_events(kind):
    hour = np.array([0.0, 3.0, 1.0, np.nan])
    value = np.array([10.0, 40.0, np.nan, np.nan])
    time = np.datetime64("2024-06-01", "us") + (3600e6 * np.nan_to_num(hour)).astype("m8[us]")
    time[3] = "NaT"
    frame = pd.DataFrame({"time": time, "value": value})
    if kind == "zone":
        frame["time"] = frame["time"].dt.tz_localize("Europe/Berlin")
    X = pl.from_pandas(frame) if kind == "polars" else frame
    imputer = MissingValueImputer("interpolate", axis="time").fit(X)
    found = np.asarray(imputer.transform(X[["value", "time"]]))
    np.testing.assert_allclose(found[:, 1], [10.0, 40.0, 20.0, 25.0])
    np.testing.assert_allclose(found[1:3, 0] - found[0, 0], [3 * 3600e9, 3600e9], rtol=1e-9)
    with pytest.raises(ValueError, match="column 'time' of type"):
        MissingValueImputer().fit(X)
