"""Every public estimator through scikit-learn's own checks, from one table."""

import importlib
import inspect

import pytest
import sklearn.linear_model
from sklearn.base import BaseEstimator
from sklearn.neighbors import KernelDensity
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    parametrize_with_checks,
)
from sklearn.utils.metadata_routing import get_routing_for_object

import skhep_ml
from skhep_ml.anomaly import (
    AutoencoderDetector,
    CathodeClassifier,
    CWoLaClassifier,
    DensityDetector,
)
from skhep_ml.cluster import KMeans
from skhep_ml.ensemble import (
    BDTClassifier,
    BDTRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    UniformBDTClassifier,
)
from skhep_ml.gaussian_process import GPClassifier, GPRegressor
from skhep_ml.generative import (
    GAN,
    VAE,
    Autoencoder,
    Diffusion,
    FlowMatching,
    GenerativeUnweighter,
    NormalizingFlow,
)
from skhep_ml.impute import DropMissingColumns, DropMissingRows, MissingValueImputer
from skhep_ml.linear_model import LogisticRegression
from skhep_ml.model_selection import BayesSearchCV, RotatingClassifier, RotatingRegressor
from skhep_ml.neural_network import NetClassifier, NetRegressor
from skhep_ml.neural_network.modules import MLP
from skhep_ml.over_sampling import ResampledClassifier, ResampledRegressor, WeightedSMOTE
from skhep_ml.over_sampling._base import WeightedSampler
from skhep_ml.preprocessing import (
    AutoScaler,
    CloudToImage,
    CloudToTable,
    EventsTransformer,
    JaggedToPadded,
    KinematicsTransformer,
    LogScaler,
    MinMaxScaler,
    QuantileClipper,
    ZScoreScaler,
)


class SmallMLP(MLP):
    """The default module with few nodes, so that the checks are quick."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs, (16,))


INSTANCES = [
    Autoencoder(2, hidden=(8,), max_epochs=2, device="cpu", random_state=0),
    AutoScaler(),
    AutoencoderDetector(
        Autoencoder(1, hidden=(8,), max_epochs=3, batch_size=64, device="cpu", random_state=0)
    ),
    BDTClassifier(n_estimators=10, n_jobs=1),
    BDTClassifier(n_estimators=10, n_jobs=1, negative_weights="keep"),
    BDTRegressor(n_estimators=10, n_jobs=1),
    BayesSearchCV(
        sklearn.linear_model.LogisticRegression(),
        {"C": (0.1, 10.0)},
        n_iter=2,
        cv=2,
        random_state=0,
    ),
    Diffusion(hidden=(16,), max_epochs=2, n_steps=4, density_steps=4, device="cpu", random_state=0),
    DensityDetector(KernelDensity()),
    DropMissingColumns(),
    FlowMatching(hidden=(16,), max_epochs=2, density_steps=4, device="cpu", random_state=0),
    FlowMatching(
        method="bdt",
        n_levels=3,
        n_noise=2,
        bdt_params={"n_estimators": 3, "nthread": 1},
        device="cpu",
        random_state=0,
    ),
    GAN(hidden=(8,), max_epochs=2, device="cpu", random_state=0),
    GPClassifier(optimizer=None, device="cpu", random_state=0),
    GPClassifier(method="sparse", n_inducing=20, optimizer=None, device="cpu", random_state=0),
    GPRegressor(device="cpu", random_state=0),
    GPRegressor(method="sparse", n_inducing=20, optimizer=None, device="cpu", random_state=0),
    GenerativeUnweighter(KernelDensity(), n_jobs=1, random_state=0),
    KMeans(2, n_init=2, max_iter=5),
    KMeans(2, n_init=2, max_iter=5, method="minibatch"),
    LogisticRegression(),
    LogisticRegression(weight_scale=None),
    LogScaler(),
    MinMaxScaler(),
    MissingValueImputer(),
    MissingValueImputer("interpolate", axis=0),
    NetClassifier(SmallMLP, lr=0.01, max_epochs=10, batch_size=16, device="cpu", random_state=0),
    NetRegressor(SmallMLP, lr=0.01, max_epochs=20, batch_size=16, device="cpu", random_state=0),
    NormalizingFlow(
        "maf", n_transforms=1, hidden=(16,), max_epochs=2, device="cpu", random_state=0
    ),
    QuantileClipper(),
    RandomForestClassifier(5),
    RandomForestRegressor(5),
    ResampledClassifier(
        WeightedSMOTE(k_neighbors=1, random_state=0), sklearn.linear_model.LogisticRegression()
    ),
    ResampledRegressor(DropMissingRows(), sklearn.linear_model.Ridge()),
    RotatingClassifier(sklearn.linear_model.LogisticRegression(), n_splits=2),
    RotatingRegressor(sklearn.linear_model.Ridge(), n_splits=2),
    UniformBDTClassifier([0], n_estimators=10, n_jobs=1),
    UniformBDTClassifier([0], loss="knn", n_estimators=10, n_jobs=1),
    UniformBDTClassifier([0], loss="knn-ada", n_estimators=10, n_jobs=1),
    VAE(2, hidden=(8,), max_epochs=2, device="cpu", random_state=0),
    ZScoreScaler(),
    ZScoreScaler(robust=True),
]

# Estimators that take no tables, for which scikit-learn makes no data; what needs data (pickle,
# refit, bad input) is checked where each is tested.
NOT_TABLES = [
    # tables with a mass that has events in all regions: their checks are in tests/anomaly
    CWoLaClassifier((0.0, 1.0), mass=0),
    CathodeClassifier((0.0, 1.0), mass=0),
    CloudToImage(),
    CloudToTable(),
    EventsTransformer({"met": "passthrough"}),
    JaggedToPadded(),
    KinematicsTransformer(),
]

# Objects that are no estimators: they have parameters, but nothing to fit.
NOT_FITTED = {"EventScorer", "SampleScorer"}

_DENSITY = (
    "weights are densities: they enter divided by their mean, so that weight 2 on every event is "
    "the same fit as weight 1, not one on twice the events"
)
_MINIBATCHES = (
    "a repeated event is one of several in a minibatch or falls into others, whose order is drawn "
    "anew: the steps are not those of one event with a larger weight"
)
_BOOTSTRAP = (
    "events are drawn with a probability proportional to their weight, as many as there are rows: "
    "the draws of a repeated event are others than those of one with a larger weight"
)
_STARTS = "the initial centres are drawn from the rows, so repeated rows draw others"
_NEIGHBORS = "a repeated event has itself as neighbour, and classes are filled up by their counts"
_DROPPED = "events with NaN are dropped in training; predictions of them are refused"
_FLAT_IN_NAN = "missing values are taken, but not in the uniform feature"
_ROW_FOLDS = "without identifiers folds follow the rows, so repeated rows fall in other folds"


def expected_failures(estimator):
    dense = "check_sample_weight_equivalence_on_dense_data"
    sparse = "check_sample_weight_equivalence_on_sparse_data"
    if isinstance(estimator, UniformBDTClassifier):
        return {dense: _DENSITY, "check_estimators_pickle": _FLAT_IN_NAN}
    if isinstance(estimator, (BDTClassifier, BDTRegressor)):
        return {dense: _DENSITY}
    if isinstance(estimator, (GPClassifier, GPRegressor)):
        return {dense: _DENSITY}
    if isinstance(estimator, KMeans):
        return {dense: _STARTS, sparse: _STARTS}
    if isinstance(estimator, (RandomForestClassifier, RandomForestRegressor)):
        return {dense: _BOOTSTRAP, sparse: _BOOTSTRAP}
    if isinstance(estimator, LogisticRegression) and estimator.weight_scale == "mean":
        return {dense: _DENSITY, sparse: _DENSITY}
    if isinstance(estimator, (Autoencoder, NetClassifier, NetRegressor)):
        return {dense: _MINIBATCHES}
    if isinstance(estimator, ResampledClassifier):
        return {dense: _NEIGHBORS}
    if isinstance(estimator, ResampledRegressor):
        return {"check_estimators_nan_inf": _DROPPED}
    if isinstance(estimator, (RotatingClassifier, RotatingRegressor)):
        return {dense: _ROW_FOLDS, sparse: _ROW_FOLDS}
    return {}


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.UnidentifiedEventsWarning")
@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.WeightWarning")
@parametrize_with_checks(INSTANCES, expected_failed_checks=expected_failures, xfail_strict=True)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", NOT_TABLES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    "check",
    [
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
    ],
)
def test_scikit_learn_checks_without_data(estimator, check):
    check(type(estimator).__name__, estimator)


def public_estimators():
    found = {}
    for name in skhep_ml.__all__:
        module = getattr(skhep_ml, name)
        # two-sample estimators have their own list, in tests/reweighting
        if not inspect.ismodule(module) or module is skhep_ml.reweighting:
            continue
        for public in module.__all__:
            thing = getattr(module, public)
            # samplers have imbalanced-learn's checks, in tests/over_sampling
            if (
                inspect.isclass(thing)
                and issubclass(thing, BaseEstimator)
                and not issubclass(thing, WeightedSampler)
            ):
                found[public] = thing
    return found


def test_every_public_estimator_is_in_the_table():
    covered = {type(instance).__name__ for instance in [*INSTANCES, *NOT_TABLES]} | NOT_FITTED
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
    instance = next(i for i in [*INSTANCES, *NOT_TABLES] if type(i) is cls)
    routing = get_routing_for_object(instance)
    requests = getattr(routing, "_self_request", routing)
    if requests is None:  # a search hands on everything, its own arguments stay with it
        return
    declared = getattr(requests, method).requests
    assert {argument for argument in metadata if declared.get(argument) is not True} == set()


def test_all_names_exist():
    for name in skhep_ml.__all__:
        thing = getattr(skhep_ml, name)
        for public in getattr(thing, "__all__", []):
            assert getattr(thing, public) is not None
    with pytest.raises(AttributeError, match="no_such_part"):
        importlib.import_module("skhep_ml").no_such_part  # noqa: B018
