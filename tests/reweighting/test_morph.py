import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skhep_ml.metrics import ks_2samp_weighted
from skhep_ml.reweighting import QuantileMorpher


def samples(n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 1)), rng.normal(2.0, 3.0, size=(n, 1))


def test_gaussians_are_moved_by_the_known_straight_line():
    original, target = samples(200_000)
    moved = QuantileMorpher().fit(original, target).transform(original)
    inside = np.abs(original) < 2.5
    np.testing.assert_allclose(moved[inside], 2 + 3 * original[inside], atol=0.15)
    assert ks_2samp_weighted(moved[:, 0], target[:, 0]).statistic < 0.006


def test_it_is_exact_at_the_quantiles_and_shifts_outside():
    original, target = samples()
    morpher = QuantileMorpher(n_quantiles=20).fit(original, target)
    before, after = morpher.original_quantiles_[0][0], morpher.target_quantiles_[0][0]
    np.testing.assert_allclose(morpher.transform(before[:, None])[:, 0], after, rtol=1e-12)
    far = np.array([[before[0] - 5.0], [before[-1] + 7.0]])
    np.testing.assert_allclose(morpher.transform(far)[:, 0], [after[0] - 5.0, after[-1] + 7.0])
    levels = [np.mean(original <= value) for value in before]
    np.testing.assert_allclose(levels, [np.mean(target <= value) for value in after], atol=1e-4)


@pytest.mark.parametrize("interpolate", [True, False])
def test_condition_matches_the_known_function(interpolate):
    def make(n, spectrum, shift, scale, seed):
        rng = np.random.default_rng(seed)
        c = rng.uniform(0, 2, n) ** spectrum
        return pd.DataFrame({"x": rng.normal(shift * c, scale * (1 + c)), "c": c})

    original, target = make(60_000, 1.0, 1.0, 1.0, 0), make(60_000, 1.3, 2.0, 1.5, 1)
    truth = 2 * original.c + 1.5 * (original.x - original.c)
    errors = {}
    for condition in (None, "c"):
        morpher = QuantileMorpher("x", condition=condition, interpolate=interpolate)
        moved = morpher.fit(original, target).transform(original)
        errors[condition] = np.std((moved[:, 0] - truth) / (1.5 * (1 + original.c)))
        np.testing.assert_array_equal(moved[:, 1], original.c)
        np.testing.assert_allclose(morpher.inverse_transform(moved), original, atol=1e-9)
    assert errors["c"] < (0.05 if interpolate else 0.08)
    assert errors["c"] < errors[None] / 3


def test_unused_bins_of_integers_and_given_edges():
    rng = np.random.default_rng(0)
    n_jets = rng.integers(0, 3, 9000)
    original = np.column_stack([rng.normal(size=9000), n_jets])
    target = np.column_stack([rng.normal(n_jets, 1.0), n_jets])
    for bins in (10, [-0.5, 0.5, 1.5, 2.5]):
        morpher = QuantileMorpher(condition=1, bins=bins, interpolate=False).fit(original, target)
        assert len(morpher.edges_) == 4
        moved = morpher.transform(original)
        for k in range(3):
            shift = np.mean((moved - original)[n_jets == k, 0])
            np.testing.assert_allclose(shift, k, atol=0.08)
        np.testing.assert_allclose(morpher.original_centers_, [0, 1, 2])


@settings(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([1, 2, 3, 10, 100]),
    st.sampled_from(["normal", "integer", "spike", "constant"]),
)
def test_it_rises_whatever_weights_and_values(seed, signed, n_quantiles, kind):
    rng = np.random.default_rng(seed)
    values = {
        "normal": rng.normal(size=400),
        "integer": rng.poisson(2, 400).astype(float),
        "spike": np.where(rng.random(400) < 0.4, 0.0, rng.exponential(size=400)),
        "constant": np.full(400, 3.0),
    }
    original, target = values[kind], rng.normal(1, 2, 300)
    weight = rng.exponential(size=400) * (np.where(rng.random(400) < 0.2, -1, 1) if signed else 1)
    morpher = QuantileMorpher(n_quantiles=n_quantiles).fit(original, target, weight)
    x = np.sort(np.append(original, np.linspace(-5, 15, 200)))
    moved = morpher.transform(x)[:, 0]
    assert np.isfinite(moved).all()
    assert (np.diff(moved) >= -1e-9).all()
    assert (np.diff(morpher.original_quantiles_[0]) >= 0).all()
    if kind == "normal":
        np.testing.assert_allclose(morpher.inverse_transform(moved)[:, 0], x, atol=1e-7)


def test_weights_of_copies_and_signs_that_cancel():
    original, target = samples(3000)
    repeated = np.repeat(original, 2, axis=0)
    plain = QuantileMorpher().fit(original, target, np.full(len(original), 2.0))
    np.testing.assert_allclose(
        QuantileMorpher().fit(repeated, target).transform(original),
        plain.transform(original),
        atol=0.02,
    )
    # a component that is added and taken away again changes nothing but the noise
    rng = np.random.default_rng(5)
    extra = rng.normal(-3, 0.5, size=(6000, 1))
    signed = np.concatenate([original, extra])
    weight = np.concatenate([np.ones(3000), np.tile([1.0, -1.0], 3000)])
    moved = QuantileMorpher(n_quantiles=20).fit(signed, target, weight).transform(original)
    middle = np.abs(original) < 1
    np.testing.assert_allclose(moved[middle], plain.transform(original)[middle], atol=0.4)


def test_missing_values_types_and_names():
    original, target = samples(3000)
    frame = pd.DataFrame(
        {"x": original[:, 0], "y": 1.0}, dtype=np.float32, index=np.arange(3000)[::-1]
    )
    other = pd.DataFrame({"y": 2.0, "x": target[:, 0]})
    frame.loc[frame.index[:10], "x"] = np.nan
    morpher = QuantileMorpher(["x"]).set_output(transform="pandas").fit(frame, other)
    moved = morpher.transform(frame)
    assert list(moved.columns) == ["x", "y"]
    assert moved.index.equals(frame.index)
    assert moved.dtypes.tolist() == [np.float32, np.float32]
    assert moved.x.isna().sum() == 10
    assert (moved.y == 1.0).all()
    pd.testing.assert_frame_equal(morpher.transform(frame[["y", "x"]]), moved)
    assert morpher.get_feature_names_out().tolist() == ["x", "y"]
    as_polars = pl.DataFrame({"x": frame.x.to_numpy(), "y": frame.y.to_numpy()})
    np.testing.assert_array_equal(
        clone(morpher).set_output(transform="default").fit(as_polars, other).transform(as_polars),
        moved,
    )
    back = morpher.set_output(transform="default").inverse_transform(moved.to_numpy())
    np.testing.assert_allclose(back, frame, atol=1e-5)


def test_rows_chunks_clone_pickle_and_refit():
    original, target = samples(3000)
    morpher = QuantileMorpher()
    moved = morpher.fit_transform(original, target)
    order = np.random.default_rng(0).permutation(3000)
    again = pickle.loads(pickle.dumps(clone(morpher).fit(original[order], target)))
    np.testing.assert_allclose(again.transform(original), moved, rtol=1e-12)
    np.testing.assert_array_equal(morpher.transform(original[:7]), moved[:7])
    morpher.fit(target, original)
    np.testing.assert_allclose(morpher.transform(moved), original, atol=0.05)


def test_few_events_are_shifted_by_their_median():
    rng = np.random.default_rng(0)
    original, target = rng.normal(size=15), rng.normal(3.0, size=15)
    moved = QuantileMorpher().fit(original, target).transform(original)[:, 0]
    np.testing.assert_allclose(moved - original, np.median(target) - np.median(original))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"features": "z"}, "features names 'z'"),
        ({"features": []}, "no feature to morph"),
        ({"condition": "c", "features": ["c"]}, "cannot be morphed itself"),
        ({"condition": "q"}, "condition names 'q'"),
        ({"condition": "c", "bins": [1.0, 0.0]}, "rising edges"),
        (
            {"condition": "c", "bins": [0.0, 0.5, 7.0, 8.0]},
            "where 'c' is between 7 and 8: use fewer",
        ),
        ({"n_quantiles": 0}, "n_quantiles must be"),
        ({"n_quantiles": 2.5}, "n_quantiles must be"),
    ],
)
def test_wrong_parameters_are_refused(params, message):
    frame = pd.DataFrame({"x": np.arange(50.0), "c": np.linspace(0, 1, 50)})
    with pytest.raises(ValueError, match=message):
        QuantileMorpher(**params).fit(frame, frame)


def test_wrong_data_is_refused():
    frame = pd.DataFrame({"x": np.arange(50.0), "c": np.linspace(0, 1, 50)})
    empty = frame.assign(x=np.nan)
    with pytest.raises(ValueError, match="0 events of target that have 'x' sum to 0"):
        QuantileMorpher("x").fit(frame, empty)
    with pytest.raises(ValueError, match=r"condition 'c' is missing \(NaN\) in 1 events"):
        QuantileMorpher(condition="c").fit(frame, frame.assign(c=frame.c.where(frame.c > 0)))
    with pytest.raises(ValueError, match="different columns"):
        QuantileMorpher().fit(frame, frame[["x"]])
    with pytest.raises(ValueError, match="infinity"):
        QuantileMorpher().fit(frame.replace(7.0, np.inf), frame)
    with pytest.raises(ValueError, match="original_weight sums to"):
        QuantileMorpher().fit(frame, frame, original_weight=np.full(50, -1.0))
    with pytest.raises(ValueError, match="target is empty"):
        QuantileMorpher().fit(frame, frame[:0])
    morpher = QuantileMorpher().fit(frame, frame)
    with pytest.raises(ValueError, match="feature names"):
        morpher.transform(frame[["x"]])
    with pytest.raises(ValueError, match="1 columns, but 2 in fit"):
        morpher.inverse_transform(frame[["x"]].to_numpy())
