"""Every sampler through imbalanced-learn's own checks, from one table."""

import pickle

import numpy as np
import pytest
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.base import clone

import skhep_ml.impute
import skhep_ml.over_sampling
from skhep_ml.impute import DropMissingRows
from skhep_ml.over_sampling import (
    CollinearSplit,
    EtaReflection,
    JetRotation,
    JetTranslation,
    PhiReflection,
    PhiRotation,
    Smearing,
    SoftSmearing,
    WeightedSMOTE,
)
from skhep_ml.over_sampling._base import WeightedSampler

INSTANCES: list[WeightedSampler] = [
    # two columns may be missing: otherwise the check with NaN in a single column has nothing left
    DropMissingRows(max_missing=2),
    EtaReflection([0]),
    PhiReflection([0]),
    PhiRotation([0], random_state=0),
    Smearing({0: 0.1}, random_state=0),
    WeightedSMOTE(random_state=0),
]

# Samplers of clouds: imbalanced-learn's checks are about tables alone.
CLOUD_INSTANCES: list[WeightedSampler] = [
    # two columns may be missing: otherwise the check with NaN in a single column has nothing left
    DropMissingRows(max_missing=2),
    CollinearSplit(random_state=0),
    JetRotation(random_state=0),
    JetTranslation(random_state=0),
    SoftSmearing(random_state=0),
]
every_sampler = pytest.mark.parametrize(
    "sampler", INSTANCES + CLOUD_INSTANCES, ids=lambda sampler: type(sampler).__name__
)

# Reasons that hold for every sampler that is not about class balance.
_ANY_TARGET = {
    "check_target_type": "the rows change, not the target: regression targets are as good",
    "check_samplers_one_label": "one class can be augmented or cleaned as well as two",
    "check_samplers_fit": "nothing is balanced, so that there is no sampling strategy",
}
_DENSE = {"check_samplers_pandas_sparse": "events are dense tables"}


def expected_failures(sampler):
    dense = {} if isinstance(sampler, DropMissingRows) else _DENSE
    return dense if sampler._needs_classes else dense | _ANY_TARGET


_CHECKS = parametrize_with_checks(INSTANCES, expected_failed_checks=expected_failures).mark


# imbalanced-learn hands over a generator, which pytest 9 no longer takes
@pytest.mark.parametrize(_CHECKS.args[0], list(_CHECKS.args[1]), **_CHECKS.kwargs)
def test_imbalanced_learn_checks(estimator, check):
    check(estimator)


def events_for(sampler, n=60):
    """A table, or a cloud whose last particle is absent."""
    rng = np.random.default_rng(0)
    if sampler.__sklearn_tags__().input_tags.two_d_array:
        return rng.normal(size=(n, 3))
    X = np.abs(rng.normal(0, 0.1, size=(n, 4, 3)))
    X[:, 3] = np.nan
    return X


def public_samplers():
    modules = (skhep_ml.over_sampling, skhep_ml.impute)
    things = [getattr(module, name) for module in modules for name in module.__all__]
    return {
        thing.__name__
        for thing in things
        if isinstance(thing, type) and issubclass(thing, WeightedSampler)
    }


def test_every_sampler_is_in_the_table():
    covered = {type(sampler).__name__ for sampler in INSTANCES + CLOUD_INSTANCES}
    assert public_samplers() - covered == set()


@every_sampler
def test_parameters_survive_clone_and_pickle(sampler):
    X, y = events_for(sampler), np.repeat([0, 1], [45, 15])
    expected = sampler.fit_resample(X, y)[0]
    for twin in (clone(sampler), pickle.loads(pickle.dumps(sampler))):
        assert repr(twin) == repr(sampler)
        np.testing.assert_array_equal(twin.fit(X, y).fit_resample(X, y)[0], expected)
        assert twin.n_features_in_ == 3


@every_sampler
def test_every_row_keeps_label_and_identifier_of_its_parent(sampler):
    X = events_for(sampler)
    y = np.r_[np.zeros(45, int), np.ones(15, int)]
    event = np.random.default_rng(1).permutation(60) + 2**60
    out_X, out_y, out_w, out_event = sampler.fit_resample(
        X, y, sample_weight=np.ones(60), groups=event
    )
    parents = sampler.sample_indices_
    np.testing.assert_array_equal(out_y, y[parents])
    np.testing.assert_array_equal(out_event, event[parents])
    assert len(out_X) == len(out_w) == len(parents)


@every_sampler
def test_bad_input_is_refused(sampler):
    X, y = events_for(sampler, 4), [0, 1, 0, 1]
    with pytest.raises(ValueError, match="identifiers must be integers"):
        sampler.fit_resample(X, y, groups=[0.0, 1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="has 3 entries, but there are 4 events"):
        sampler.fit_resample(X, y, sample_weight=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="inconsistent"):
        sampler.fit_resample(X, y[:3])
