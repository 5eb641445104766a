"""Every sampler through imbalanced-learn's own checks, from one table."""

import numpy as np
import pytest
from imblearn.utils.estimator_checks import parametrize_with_checks

import skhep_ml.impute
import skhep_ml.over_sampling
from skhep_ml.over_sampling._base import WeightedSampler

INSTANCES: list[WeightedSampler] = []

# Reasons that hold for every sampler that is not about class balance.
_ANY_TARGET = {
    "check_target_type": "the rows change, not the target: regression targets are as good",
    "check_samplers_one_label": "one class can be augmented or cleaned as well as two",
    "check_samplers_fit": "nothing is balanced, so that there is no sampling strategy",
}
_DENSE = {"check_samplers_pandas_sparse": "events are dense tables"}


def expected_failures(sampler):
    return _DENSE if sampler._needs_classes else _DENSE | _ANY_TARGET


@parametrize_with_checks(INSTANCES, expected_failed_checks=expected_failures)
def test_imbalanced_learn_checks(estimator, check):
    check(estimator)


def public_samplers():
    modules = (skhep_ml.over_sampling, skhep_ml.impute)
    things = [getattr(module, name) for module in modules for name in module.__all__]
    return {
        thing.__name__
        for thing in things
        if isinstance(thing, type) and issubclass(thing, WeightedSampler)
    }


def test_every_sampler_is_in_the_table():
    assert public_samplers() - {type(sampler).__name__ for sampler in INSTANCES} == set()


@pytest.mark.parametrize("sampler", INSTANCES, ids=lambda sampler: type(sampler).__name__)
def test_every_row_keeps_label_and_identifier_of_its_parent(sampler):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.r_[np.zeros(45, int), np.ones(15, int)]
    event = rng.permutation(60) + 2**60
    out_X, out_y, out_w, out_event = sampler.fit_resample(
        X, y, sample_weight=np.ones(60), groups=event
    )
    parents = sampler.sample_indices_
    np.testing.assert_array_equal(out_y, y[parents])
    np.testing.assert_array_equal(out_event, event[parents])
    assert len(out_X) == len(out_w) == len(parents)


@pytest.mark.parametrize("sampler", INSTANCES, ids=lambda sampler: type(sampler).__name__)
def test_bad_input_is_refused(sampler):
    X, y = np.zeros((4, 2)), [0, 1, 0, 1]
    with pytest.raises(ValueError, match="identifiers must be integers"):
        sampler.fit_resample(X, y, groups=[0.0, 1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="has 3 entries, but there are 4 events"):
        sampler.fit_resample(X, y, sample_weight=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="inconsistent"):
        sampler.fit_resample(X, y[:3])
