import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skhep_ml.exceptions import EmptyColumnWarning
from skhep_ml.impute import MissingValueImputer

STRATEGIES = ["median", "mean", "most_frequent", "constant"]


def cloud(n=300, seed=0, dtype=np.float64):
    """Particles of which the last ones are absent and some lack a feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5, 3)).round(1)
    X[..., :2][rng.random((n, 5, 2)) < 0.2] = np.nan
    absent = np.arange(5) >= rng.integers(1, 6, n)[:, None]
    X[absent] = np.nan
    return X.astype(dtype), absent


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_statistics_are_those_of_the_present_particles(strategy, dtype):
    X, absent = cloud(dtype=dtype)
    weight = np.random.default_rng(1).choice([-1.0, 0.5, 0.0, 2.0], len(X))
    imputer = MissingValueImputer(strategy, add_indicator=True).fit(X, sample_weight=weight)
    particles = X[~absent]
    flat = clone(imputer).fit(particles, sample_weight=np.repeat(weight, (~absent).sum(axis=1)))
    np.testing.assert_allclose(imputer.statistics_, flat.statistics_, rtol=1e-12)
    np.testing.assert_allclose(imputer.missing_fraction_, flat.missing_fraction_, rtol=1e-12)
    filled = imputer.transform(X)
    assert filled.dtype == dtype
    assert filled.shape == (*X.shape[:2], 5)
    np.testing.assert_array_equal(filled[~absent], flat.transform(particles))
    assert np.isnan(filled[absent]).all()
    assert imputer.get_feature_names_out()[-1] == "missingindicator_x1"


def test_absent_particles_may_hold_sentinels():
    X, absent = cloud()
    marked = np.where(np.isnan(X), -999.0, X)
    np.testing.assert_array_equal(
        MissingValueImputer().fit_transform(marked), MissingValueImputer().fit_transform(X)
    )
    masked = np.ma.array(np.nan_to_num(X), mask=np.isnan(X))
    assert np.isnan(MissingValueImputer().fit_transform(masked)).any(axis=2).sum() == absent.sum()


def test_chunks_permutations_and_memory_orders():
    X, _ = cloud(7000, dtype=np.float32)
    imputer = MissingValueImputer("mean").fit(X)
    filled = imputer.transform(X)
    parts = [imputer.transform(X[start : start + 999]) for start in range(0, len(X), 999)]
    np.testing.assert_array_equal(np.concatenate(parts), filled)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(clone(imputer).fit(X[order]).statistics_, imputer.statistics_)
    np.testing.assert_array_equal(imputer.transform(np.asfortranarray(X)), filled)


def test_traces_in_chunks():
    X, _ = cloud(5000)
    imputer = MissingValueImputer("interpolate").fit(X)
    filled = imputer.transform(X)
    parts = [imputer.transform(X[start : start + 999]) for start in range(0, len(X), 999)]
    np.testing.assert_array_equal(np.concatenate(parts), filled)


def test_set_output_leaves_clouds_arrays():
    X, _ = cloud(20)
    pipeline = make_pipeline(MissingValueImputer(), MissingValueImputer("mean"))
    pipeline.set_output(transform="pandas")
    assert isinstance(pipeline.fit_transform(X), np.ndarray)
    assert isinstance(pipeline.transform(X), np.ndarray)
    table = MissingValueImputer().set_output(transform="pandas").fit_transform(X[:, 0])
    assert isinstance(table, pd.DataFrame)


def test_bad_clouds():
    X, absent = cloud(20)
    X[..., 0] = np.nan
    with pytest.warns(EmptyColumnWarning, match="1 of 3 columns.*column 0"):
        MissingValueImputer().fit(X)
    with pytest.warns(EmptyColumnWarning, match="3 of 3 columns"):
        filled = MissingValueImputer().fit_transform(np.full((3, 2, 3), np.nan))
    assert np.isnan(filled).all()
    X[..., 0] = np.where(absent, np.nan, np.inf)
    with pytest.raises(ValueError, match="infinity in column 0"):
        MissingValueImputer().fit(X)
    with pytest.raises(ValueError, match="has 2 features on its last axis"):
        MissingValueImputer().fit(cloud(5)[0]).transform(cloud(5)[0][..., :2])
