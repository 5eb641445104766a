import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skhep_ml.preprocessing import AutoScaler, LogScaler, ZScoreScaler


def test_log_is_the_natural_logarithm():
    x = np.random.default_rng(0).lognormal(3, 4, (3000, 1))
    np.testing.assert_allclose(
        LogScaler("log", standardize=False).fit_transform(x), np.log(x), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("method", ["shifted", "signed"])
def test_formula_of_the_variants(method):
    x = np.random.default_rng(0).normal(2, 5, (1000, 1))
    d = x - x.min() if method == "shifted" else x
    expected = np.sign(d) * np.log1p(np.abs(d) / 1.5)
    scaler = LogScaler(method, threshold=1.5, standardize=False)
    np.testing.assert_allclose(scaler.fit_transform(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["log", "shifted", "signed"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardised_by_weight(method, dtype):
    rng = np.random.default_rng(0)
    x = rng.lognormal(0, 2, (20_000, 1)).astype(dtype)
    if method == "signed":
        x *= rng.choice([-1, 1], x.shape)
    weight = rng.normal(1, 1, len(x))
    scaled = LogScaler(method).fit(x, sample_weight=weight).transform(x).astype(np.float64)
    mean = np.average(scaled[:, 0], weights=np.abs(weight))
    variance = np.average((scaled[:, 0] - mean) ** 2, weights=np.abs(weight))
    assert mean == pytest.approx(0, abs=1e-5)
    assert variance == pytest.approx(1, abs=1e-4)


def test_default_threshold():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.exponential(20, 20_000), rng.normal(0, 3, 20_000)])
    x[0, 0] = 0.0
    scaler = LogScaler().fit(x)
    assert scaler.methods_.tolist() == ["shifted", "signed"]
    expected = [np.quantile(x[x[:, 0] > 0, 0], 0.1), np.median(np.abs(x[:, 1]))]
    np.testing.assert_allclose(scaler.threshold_, expected, rtol=1e-2)


def test_auto_chooses_per_column():
    X = np.array([[1.0, 0.0, -1.0, np.nan], [5.0, 5.0, 5.0, 2.0]])
    assert LogScaler().fit(X).methods_.tolist() == ["log", "shifted", "signed", "log"]


@settings(max_examples=50, deadline=None)
@given(
    method=st.sampled_from(["log", "shifted", "signed"]),
    unseen=st.lists(
        st.floats(-1e8, 1e8, allow_subnormal=False), min_size=2, max_size=20, unique=True
    ),
)
def test_unseen_values_stay_finite_ordered_and_invertible(method, unseen):
    train = np.random.default_rng(0).lognormal(0, 2, (500, 1))
    scaler = LogScaler(method).fit(train)
    x = np.sort(unseen)[:, None]
    y = scaler.transform(x)
    assert np.isfinite(y).all()
    assert (np.diff(y[:, 0]) >= 0).all()
    np.testing.assert_allclose(scaler.inverse_transform(y), x, rtol=1e-11, atol=1e-11)


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["auto", "shifted", "signed"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    standardize=st.booleans(),
    values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=2, max_size=20),
)
def test_inverse_is_exact_to_rounding(method, dtype, standardize, values):
    x = np.array(values, dtype=dtype)[:, None]
    scaler = LogScaler(method, standardize=standardize).fit(x)
    y = scaler.transform(x)
    assert y.dtype == dtype
    assert np.isfinite(y).all()
    back = scaler.inverse_transform(y)
    # the rounding of a logarithm is a relative error of its argument
    logarithm = np.abs(y.astype(np.float64) * scaler.scale_) + np.abs(scaler.mean_)
    size = np.abs(x) + np.abs(scaler.origin_) + scaler.threshold_
    assert np.all(np.abs(back - x) <= np.finfo(dtype).eps * (4 + 2 * logarithm) * size)


def test_slope_is_continuous_at_the_training_minimum():
    scaler = LogScaler("log", standardize=False).fit([[2.0], [50.0]])
    h = 1e-6
    below, at, above = scaler.transform([[2 - h], [2.0], [2 + h]]).ravel()
    assert (at - below) / h == pytest.approx(0.5, rel=1e-5)
    assert (above - at) / h == pytest.approx(0.5, rel=1e-5)


def test_extreme_float64_values_stay_finite():
    x = np.array([[1e-300], [1.0], [1e38]])
    for train in (x, x * [[-1], [1], [1]]):
        scaler = LogScaler().fit(train)
        assert np.isfinite(scaler.transform(train)).all()
        assert np.isfinite(scaler.transform([[-1e308], [1e308]])).all()


def test_values_closer_than_float32_are_still_scaled():
    x = 1.7e9 + np.array([[0.0], [1.0], [2.0]])
    scaled = LogScaler().fit_transform(x)
    assert np.abs(scaled).max() < 5
    assert scaled[1, 0] == pytest.approx(0, abs=1e-6)


def test_clip():
    scaler = LogScaler(clip=1.0).fit([[1.0], [10.0], [100.0]])
    assert scaler.transform([[1e9], [-1e9]]).ravel().tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "log10"}, "method='log10'"),
        ({"threshold": 0.0}, "threshold=0.0"),
        ({"threshold": "x"}, "threshold='x'"),
        ({"clip": -1}, "clip=-1"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        LogScaler(**parameters).fit([[1.0], [2.0]])


def test_log_of_non_positive_values_is_an_error():
    with pytest.raises(ValueError, match="column 1 goes down to -2"):
        LogScaler("log").fit([[1.0, -2.0], [2.0, 3.0]])


@pytest.mark.parametrize("unit", [1e42, 1e-42, 1e-60])
@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_unit_out_of_the_range_of_float32_is_refused(unit, chunks, weighted):
    x = np.random.default_rng(0).lognormal(0, 1, (200, 1))
    x[::3] = 0
    table = pd.DataFrame(np.hstack([x, unit * x]), columns=["pt", "cross section"])
    weight = np.linspace(1, 2, 200) if weighted else None
    scalers = [LogScaler(), AutoScaler()]
    if chunks:
        # one chunk has exact quartiles, the next one needs the histogram
        scalers.append(ZScoreScaler(robust=True).partial_fit(table))
    for scaler in scalers:
        learn = scaler.partial_fit if chunks else scaler.fit
        with pytest.raises(ValueError, match=r"column 'cross section' .* change the unit"):
            learn(table, sample_weight=weight)
    # where the histogram is not used, nothing is wrong
    exact = ZScoreScaler(robust=True).set_output(transform="pandas").fit_transform(table)
    np.testing.assert_allclose(exact.iloc[:, 1], exact.iloc[:, 0], rtol=1e-9, atol=1e-12)
    AutoScaler({"cross section": "minmax"}).fit(table)


def test_a_few_tiny_values_pass():
    x = np.append(np.zeros(60), [1e-60, *np.geomspace(1, 100, 30)])[:, None]
    assert LogScaler().fit(x).threshold_[0] > 1
