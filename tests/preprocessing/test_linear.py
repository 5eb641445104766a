import numpy as np
import pytest
from sklearn import preprocessing as theirs

from skhep_ml.preprocessing import MinMaxScaler, ZScoreScaler


def table(n=2000, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(91, 3, n), rng.uniform(-1, 5, n), rng.exponential(20, n)])
    X[rng.random(X.shape) < 0.1] = np.nan
    return X.astype(dtype)


@pytest.mark.parametrize("feature_range", [(-1, 1), (0, 1), (-3, 7.5)])
def test_minmax_equals_scikit_learn(feature_range):
    X = table()
    ours = MinMaxScaler(feature_range).fit(X)
    expected = theirs.MinMaxScaler(feature_range).fit(X)
    np.testing.assert_allclose(ours.transform(X), expected.transform(X), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(ours.data_min_, expected.data_min_)
    np.testing.assert_array_equal(ours.data_max_, expected.data_max_)


@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("with_std", [True, False])
def test_zscore_equals_scikit_learn(with_mean, with_std):
    X = table()
    weight = np.random.default_rng(1).uniform(0, 2, len(X))
    for sample_weight in (None, weight):
        ours = ZScoreScaler(with_mean=with_mean, with_std=with_std)
        ours.fit(X, sample_weight=sample_weight)
        expected = theirs.StandardScaler(with_mean=with_mean, with_std=with_std)
        expected.fit(X, sample_weight=sample_weight)
        np.testing.assert_allclose(ours.transform(X), expected.transform(X), rtol=1e-10, atol=1e-12)


def test_zscore_of_signed_weights_in_closed_form():
    X = np.array([[1.0], [2.0], [6.0]])
    scaler = ZScoreScaler().fit(X, sample_weight=[1.0, -2.0, 1.0])
    assert scaler.mean_[0] == pytest.approx((1 + 4 + 6) / 4)
    assert scaler.var_[0] == pytest.approx((1 + 2 * 4 + 36) / 4 - 2.75**2)


def test_zscore_is_accurate_far_from_zero():
    # seconds since 1970 with a spread of one second: sums of squares would lose all digits
    X = 1.7e9 + np.random.default_rng(0).normal(size=(5000, 1))
    scaler = ZScoreScaler().fit(X)
    assert scaler.var_[0] == pytest.approx(np.var(X - 1.7e9), rel=1e-7)
    outlier_first = np.vstack([[[1e15]], X])
    assert ZScoreScaler().fit(outlier_first).var_[0] == pytest.approx(np.var(outlier_first))


def test_zscore_of_narrow_float32_column_is_centred():
    X = np.random.default_rng(0).normal(5000, 1, (5000, 1)).astype(np.float32)
    scaled = ZScoreScaler().fit_transform(X)
    assert scaled.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert scaled.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)


def test_clip():
    X = np.array([[0.0], [1.0], [2.0]])
    unseen = [[-5.0], [0.5], [9.0], [np.nan]]
    scaled = MinMaxScaler((0, 1), clip=True).fit(X).transform(unseen)
    np.testing.assert_array_equal(scaled.ravel(), [0.0, 0.25, 1.0, np.nan])
    scaled = ZScoreScaler(clip=2.0).fit(X).transform(unseen)
    assert scaled.ravel()[[0, 2]].tolist() == [-2.0, 2.0]
    assert MinMaxScaler((0, 1)).fit(X).transform(unseen)[2, 0] == 4.5


def test_minmax_of_the_whole_float64_range():
    largest = np.finfo(np.float64).max
    X = np.array([[-largest], [0.0], [largest]])
    np.testing.assert_array_equal(MinMaxScaler().fit_transform(X).ravel(), [-1, 0, 1])


def test_zscore_refuses_overflow():
    with pytest.raises(ValueError, match="variance of column 0 is beyond float64"):
        ZScoreScaler().fit([[-1e300], [1e300]])


def squash(z):
    return z / np.sqrt(1 + (z / 3) ** 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_robust_equals_the_formula(dtype):
    X = table(2001, dtype)
    low, middle, high = np.nanquantile(
        X.astype(np.float64), [0.25, 0.5, 0.75], axis=0, method="averaged_inverted_cdf"
    )
    scaler = ZScoreScaler(robust=True).fit(X)
    np.testing.assert_allclose(scaler.center_, middle, rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_, high - low, rtol=1e-12)
    assert not hasattr(scaler, "mean_")
    tolerance = 20 * np.finfo(dtype).eps
    expected = squash((X - middle) / (high - low))
    np.testing.assert_allclose(scaler.transform(X), expected, rtol=tolerance, atol=10 * tolerance)


def test_robust_is_weighted():
    rng = np.random.default_rng(0)
    X, weight = table(), rng.integers(-3, 4, 2000)
    weighted = ZScoreScaler(robust=True).fit(X, sample_weight=weight / 7)
    repeated = ZScoreScaler(robust=True).fit(np.repeat(X, np.abs(weight), axis=0))
    np.testing.assert_allclose(weighted.center_, repeated.center_, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale_, repeated.scale_, rtol=1e-12)


def test_robust_chunks_are_within_the_histogram():
    X = table(20_000)
    whole, chunked = ZScoreScaler(robust=True).fit(X), ZScoreScaler(robust=True)
    for start in range(0, 20_000, 5_000):
        chunked.partial_fit(X[start : start + 5_000])
    np.testing.assert_allclose(chunked.center_, whole.center_, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(chunked.scale_, whole.scale_, rtol=1e-2)


@pytest.mark.parametrize("chunks", [1, 2])
def test_robust_without_a_spread_of_the_quartiles(chunks):
    # 80% of the values are 2: half of the range stands in; of a constant column, 1
    X = np.column_stack([np.r_[np.full(80, 2.0), np.linspace(3, 12, 20)], np.full(100, 7.0)])
    scaler = ZScoreScaler(robust=True)
    for part in np.array_split(X[np.random.default_rng(0).permutation(100)], chunks):
        scaler.partial_fit(part)
    assert scaler.center_.tolist() == [2.0, 7.0]
    assert scaler.scale_.tolist() == [5.0, 1.0]
    assert scaler.transform([[12.0, 7.0]]).tolist() == [[squash(2.0), 0.0]]


def test_robust_with_options():
    X = table()
    scaler = ZScoreScaler(robust=True, with_mean=False, clip=1.0).fit(X)
    expected = np.clip(squash(X / scaler.scale_), -1, 1)
    np.testing.assert_allclose(scaler.transform(X), expected, rtol=1e-12)
    scaler = ZScoreScaler(robust=True, with_std=False).fit(X)
    np.testing.assert_allclose(scaler.transform(X), squash(X - scaler.center_), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_robust_never_makes_nan(dtype):
    largest = np.finfo(dtype).max
    X = np.array([[-largest], [-1.0], [0.0], [1.0], [largest]], dtype=dtype)
    for train in (X, X[1:4]):
        scaler = ZScoreScaler(robust=True).fit(train)
        with np.errstate(over="ignore"):
            scaled = scaler.transform(X)
            assert np.all(np.diff(scaled[:, 0]) >= 0)
            assert np.all(np.abs(scaled) <= 3)
            assert not np.isnan(scaler.inverse_transform(scaled)).any()
    back = scaler.inverse_transform(np.array([[-3.0], [3.0], [7.0]], dtype=dtype))
    assert np.isfinite(back).all()


@pytest.mark.parametrize("feature_range", [(1, -1), (0, 0), (0, np.inf), (0,), "ab", None])
def test_bad_range(feature_range):
    with pytest.raises(ValueError, match="feature_range"):
        MinMaxScaler(feature_range).fit([[1.0]])


@pytest.mark.parametrize("clip", [0, -1.0, np.nan, True, "3"])
def test_bad_clip(clip):
    with pytest.raises(ValueError, match="clip"):
        ZScoreScaler(clip=clip).fit([[1.0]])


def test_huge_float32_values_keep_their_differences():
    x = np.array([[-3e38], [-1e38], [1e38], [3e38]], dtype=np.float32)
    scaled = ZScoreScaler(robust=True).fit_transform(x)
    expected = ZScoreScaler(robust=True).fit_transform(x.astype(np.float64))
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)
    assert np.abs(scaled).min() > 0.1


def test_clip_of_minmax_is_a_bool():
    for clip in ("yes", 1, None):
        with pytest.raises(ValueError, match="must be True or False"):
            MinMaxScaler(clip=clip).fit([[1.0], [2.0]])
