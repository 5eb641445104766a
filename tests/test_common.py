"""Every public estimator through scikit-learn's own checks, from one table."""

import importlib
import inspect

import pytest
import sklearn.linear_model
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.metadata_routing import get_routing_for_object

import skhep_ml
from skhep_ml.ensemble import BDTClassifier, BDTRegressor
from skhep_ml.impute import MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.model_selection import RotatingClassifier, RotatingRegressor
from skhep_ml.preprocessing import AutoScaler, LogScaler, MinMaxScaler, ZScoreScaler

INSTANCES = [
    AutoScaler(),
    BDTClassifier(n_estimators=10, n_jobs=1),
    BDTClassifier(n_estimators=10, n_jobs=1, negative_weights="keep"),
    BDTRegressor(n_estimators=10, n_jobs=1),
    LogisticRegression(),
    LogisticRegression(weight_scale=None),
    LogScaler(),
    MinMaxScaler(),
    MissingValueImputer(),
    RotatingClassifier(sklearn.linear_model.LogisticRegression(), n_splits=2),
    RotatingRegressor(sklearn.linear_model.Ridge(), n_splits=2),
    ZScoreScaler(),
]

# Objects that are no estimators: they have parameters, but nothing to fit.
NOT_FITTED = {"EventScorer"}

_DENSITY = (
    "weights are densities: they enter divided by their mean, so that weight 2 on every event is "
    "the same fit as weight 1, not one on twice the events"
)
_ROW_FOLDS = "without identifiers folds follow the rows, so repeated rows fall in other folds"


def expected_failures(estimator):
    dense = "check_sample_weight_equivalence_on_dense_data"
    sparse = "check_sample_weight_equivalence_on_sparse_data"
    if isinstance(estimator, (BDTClassifier, BDTRegressor)):
        return {dense: _DENSITY}
    if isinstance(estimator, LogisticRegression) and estimator.weight_scale == "mean":
        return {dense: _DENSITY, sparse: _DENSITY}
    if isinstance(estimator, (RotatingClassifier, RotatingRegressor)):
        return {dense: _ROW_FOLDS, sparse: _ROW_FOLDS}
    return {}


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.UnidentifiedEventsWarning")
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@parametrize_with_checks(INSTANCES, expected_failed_checks=expected_failures, xfail_strict=True)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def public_estimators():
    found = {}
    for name in skhep_ml.__all__:
        module = getattr(skhep_ml, name)
        if not inspect.ismodule(module):
            continue
        for public in module.__all__:
            thing = getattr(module, public)
            if inspect.isclass(thing) and issubclass(thing, BaseEstimator):
                found[public] = thing
    return found


def test_every_public_estimator_is_in_the_table():
    covered = {type(instance).__name__ for instance in INSTANCES} | NOT_FITTED
    assert set(public_estimators()) - covered == set()


@pytest.mark.parametrize(
    ("name", "cls"), [item for item in public_estimators().items() if item[0] not in NOT_FITTED]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_every_metadata_argument_is_requested_by_class(name, cls, method):
    if not hasattr(cls, method):
        return
    parameters = inspect.signature(getattr(cls, method)).parameters.values()
    metadata = {
        p.name
        for p in parameters
        if p.name not in ("self", "X", "y") and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    instance = next(i for i in INSTANCES if type(i) is cls)
    routing = get_routing_for_object(instance)
    requests = getattr(routing, "_self_request", routing)
    declared = getattr(requests, method).requests
    assert {argument for argument in metadata if declared.get(argument) is not True} == set()


def test_all_names_exist():
    for name in skhep_ml.__all__:
        thing = getattr(skhep_ml, name)
        for public in getattr(thing, "__all__", []):
            assert getattr(thing, public) is not None
    with pytest.raises(AttributeError, match="no_such_part"):
        importlib.import_module("skhep_ml").no_such_part  # noqa: B018
