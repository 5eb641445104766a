"""Scalers on point clouds: every particle is a row, absent particles do not exist."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skhep_ml.preprocessing import (
    AutoScaler,
    LogScaler,
    MinMaxScaler,
    QuantileClipper,
    ZScoreScaler,
)

TRANSFORMERS = [
    AutoScaler(),
    LogScaler(),
    MinMaxScaler(),
    QuantileClipper(0.01, 0.99),
    ZScoreScaler(),
    ZScoreScaler(robust=True),
]
SCALERS = [scaler for scaler in TRANSFORMERS if not isinstance(scaler, QuantileClipper)]
all_transformers = pytest.mark.parametrize("scaler", TRANSFORMERS, ids=str)
all_scalers = pytest.mark.parametrize("scaler", SCALERS, ids=str)


def sample(n=300, particles=12, seed=0, dtype=np.float64):
    """Clouds of up to 12 particles, one feature a shape, and signed weights with zeros."""
    rng = np.random.default_rng(seed)
    shape = (n, particles)
    cloud = np.stack(
        [
            rng.lognormal(1, 2.5, shape),
            rng.normal(0, 2, shape),
            rng.uniform(-np.pi, np.pi, shape),
            rng.integers(0, 3, shape),
        ],
        axis=-1,
    )
    cloud[np.arange(particles) >= rng.integers(0, particles + 1, n)[:, None]] = np.nan
    cloud[rng.random(shape) < 0.05, 1] = np.nan
    weight = rng.normal(1, 1, n)
    weight[::6] = 0
    return cloud.astype(dtype), weight


def as_table(cloud, weight):
    """Present particles as rows, with the weights of their events."""
    present = ~np.isnan(cloud).all(axis=2)
    return cloud[present], np.repeat(weight, cloud.shape[1])[present.ravel()]


@all_transformers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cloud_equals_table_of_present_particles(scaler, dtype):
    cloud, weight = sample(dtype=dtype)
    rows, row_weight = as_table(cloud, weight)
    expected = clone(scaler).fit(rows, sample_weight=row_weight)
    fitted = clone(scaler).fit(cloud, sample_weight=weight)
    scaled = fitted.transform(cloud)
    assert scaled.shape == cloud.shape
    assert scaled.dtype == dtype
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(cloud))
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        as_table(scaled, weight)[0], expected.transform(rows), rtol=tolerance, atol=tolerance
    )
    assert fitted.n_features_in_ == 4
    if isinstance(scaler, AutoScaler):
        assert fitted.methods_ == expected.methods_ == dict(enumerate(["log", *TAIL]))
        assert fitted.reasons_ == expected.reasons_


TAIL = ["zscore", "minmax", "zscore"]


@all_scalers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inverse(scaler, dtype):
    cloud, weight = sample(dtype=dtype)
    cloud[..., 0] = np.minimum(cloud[..., 0], 1000)
    fitted = clone(scaler).fit(cloud, sample_weight=weight)
    back = fitted.inverse_transform(fitted.transform(cloud))
    assert back.shape == cloud.shape
    assert back.dtype == dtype
    size = np.nanmax(np.abs(cloud), axis=(0, 1))
    tolerance = 1e-3 if dtype == np.float32 else 1e-11
    if not getattr(scaler, "robust", False):
        tolerance = 60 * np.finfo(dtype).eps
    assert np.all((np.abs(back - cloud) <= tolerance * size) | np.isnan(cloud))


@all_transformers
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_order_of_events_and_particles_and_unit_of_weights(scaler, seed, scale):
    cloud, weight = sample(100, seed=seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(100)
    other = cloud[order][:, rng.permutation(cloud.shape[1])]
    expected = clone(scaler).fit(cloud, sample_weight=weight).transform(cloud)
    fitted = clone(scaler).fit(other, sample_weight=scale * np.abs(weight[order]))
    np.testing.assert_allclose(fitted.transform(cloud), expected, rtol=1e-8, atol=1e-8)


@all_scalers
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(1, 99))
def test_chunks_equal_whole(scaler, seed, cut):
    cloud, weight = sample(100, seed=seed)
    weight[weight == 0] = 0.5
    whole = clone(scaler).fit(cloud, sample_weight=weight)
    chunked = clone(scaler)
    for part in (slice(0, cut), slice(cut, 100)):
        chunked.partial_fit(cloud[part], sample_weight=weight[part])
    assert chunked.n_samples_seen_ == 100
    tolerance = 0.05 if getattr(scaler, "robust", False) else 1e-9
    np.testing.assert_allclose(
        chunked.transform(cloud), whole.transform(cloud), rtol=tolerance, atol=tolerance
    )


@all_transformers
def test_padding_and_memory_layout_do_not_matter(scaler):
    cloud, weight = sample(3000)
    fitted = clone(scaler).fit(cloud, sample_weight=weight)
    expected = fitted.transform(cloud)
    padded = np.concatenate([cloud, np.full((3000, 40, 4), np.nan)], axis=1)
    reversed_view = padded[:, ::-1][:, ::-1]
    for other in (padded, np.asfortranarray(padded), reversed_view):
        again = clone(scaler).fit(other, sample_weight=weight)
        scaled = again.transform(other)
        np.testing.assert_allclose(scaled[:, :12], expected, rtol=1e-9, atol=1e-9)
        assert np.isnan(scaled[:, 12:]).all()
        if isinstance(scaler, AutoScaler):
            assert again.reasons_ == fitted.reasons_


@all_transformers
@pytest.mark.parametrize("shape", [(5, 0, 3), (5, 4, 3)])
def test_no_particle_at_all(scaler, shape):
    cloud = np.full(shape, np.nan)
    with pytest.warns(UserWarning, match="3 of 3 columns hold no value"):
        fitted = clone(scaler).fit(cloud)
    assert fitted.transform(cloud).shape == shape
    assert np.isnan(fitted.transform(cloud)).all()


@all_transformers
def test_names_and_output_container(scaler):
    cloud, _ = sample(50)
    fitted = clone(scaler).set_output(transform="pandas").fit(cloud)
    assert isinstance(fitted.transform(cloud), np.ndarray)
    assert isinstance(clone(fitted).fit_transform(cloud), np.ndarray)
    assert fitted.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]
    names = ["pt", "eta", "phi", "charge"]
    assert fitted.get_feature_names_out(names).tolist() == names
    with sklearn.config_context(transform_output="polars"):
        assert isinstance(fitted.transform(cloud), np.ndarray)
    # the same object makes tables of tables
    frame = pd.DataFrame(as_table(cloud, np.ones(50))[0], columns=names)
    scaled = fitted.fit(frame).transform(frame)
    assert list(scaled.columns) == names
    pipeline = make_pipeline(clone(scaler), clone(scaler)).set_output(transform="pandas")
    assert pipeline.fit_transform(cloud).shape == cloud.shape


@all_transformers
def test_wrong_clouds(scaler):
    cloud, _ = sample(20)
    fitted = clone(scaler).fit(cloud)
    with pytest.raises(ValueError, match="3 features on its last axis"):
        fitted.transform(cloud[..., :3])
    bad = cloud.copy()
    bad[3, 2, 1] = -np.inf
    for call in (clone(scaler).fit, fitted.transform):
        with pytest.raises(ValueError, match="infinity in column 1"):
            call(bad)
    with pytest.raises(ValueError, match="240 entries"):
        clone(scaler).fit(cloud, sample_weight=np.ones(240))


class LeadingMean(ClassifierMixin, BaseEstimator):
    """Sign of the mean first feature."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (np.nanmean(X[..., 0], axis=1) > 0).astype(int)


def test_search_over_scalers_of_clouds_with_routed_weights():
    cloud, weight = sample(120)
    cloud[:, 0] = np.nan_to_num(cloud[:, 0])
    y = (np.nanmean(np.log1p(cloud[..., 0]), axis=1) > 1).astype(int)
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(AutoScaler(), LeadingMean().set_score_request(sample_weight=True))
        search = GridSearchCV(
            model, {"autoscaler": [LogScaler(), ZScoreScaler()]}, cv=2, error_score="raise"
        )
        search.fit(cloud, y, sample_weight=np.abs(weight) + 0.1)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
