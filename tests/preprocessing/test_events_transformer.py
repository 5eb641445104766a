import pickle

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.events import Events
from skhep_ml.impute import MissingValueImputer
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.preprocessing import (
    CloudToTable,
    EventsTransformer,
    JaggedToPadded,
    MinMaxScaler,
    ZScoreScaler,
)

N = 60


def make_events(n=N, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2, n)
    pt = rng.exponential(30.0, counts.sum())
    return Events(
        jets=ak.unflatten(ak.zip({"pt": pt, "eta": rng.normal(size=len(pt))}), counts),
        lepton=pd.DataFrame({"pt": rng.exponential(20.0, n), "eta": rng.normal(size=n)}),
        met=rng.exponential(40.0, n).astype(np.float32),
        number=np.arange(n),
    )


def test_each_input_gets_its_transformer():
    events = make_events()
    weight = np.linspace(0.1, 2.0, N)
    transformer = EventsTransformer(
        {"jets": JaggedToPadded(3), "lepton": ZScoreScaler(), "number": "drop"}
    )
    with pytest.warns(UserWarning, match="particles"):
        out = transformer.fit_transform(events, sample_weight=weight)
    assert isinstance(out, Events)
    assert out.names == ["jets", "lepton", "met"]
    with pytest.warns(UserWarning, match="particles"):
        np.testing.assert_array_equal(out["jets"], JaggedToPadded(3).fit_transform(events["jets"]))
    alone = ZScoreScaler().fit(events["lepton"], sample_weight=weight)
    np.testing.assert_array_equal(out["lepton"], alone.transform(events["lepton"]))
    assert out["met"] is events["met"]
    assert list(transformer.transformers_) == events.names
    assert transformer.n_features_in_ == 4
    assert transformer.feature_names_in_.tolist() == events.names
    # what was given is not fitted
    assert not hasattr(transformer.transformers["lepton"], "n_features_in_")


def test_fit_then_transform_is_fit_transform():
    events = make_events()
    weight = np.linspace(0.1, 2.0, N)
    chosen = {"met": MinMaxScaler(), "lepton": StandardScaler()}
    transformer = EventsTransformer(chosen, remainder="drop")
    first = transformer.fit_transform(events, sample_weight=weight)
    second = transformer.fit(events, sample_weight=weight).transform(events)
    assert first.names == second.names == ["lepton", "met"]
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    unweighted = transformer.fit_transform(events)
    assert np.abs(unweighted["lepton"] - first["lepton"]).max() > 1e-3


def test_a_dict_is_fine_and_new_inputs_do_not_matter():
    transformer = EventsTransformer({"a": "passthrough"}, remainder="drop")
    out = transformer.fit_transform({"a": [1, 2], "b": [3, 4]})
    assert out.names == ["a"]
    assert transformer.transform(Events(a=[1, 2, 3], c=[1, 2, 3])).shape == (3, 1)


def test_one_table():
    events = make_events()
    jets = make_pipeline(JaggedToPadded(), CloudToTable(features=["pt", "eta"], n_leading=1))
    transformer = EventsTransformer(
        {"jets": jets, "met": MinMaxScaler(), "number": "drop"}, concatenate=True
    )
    table = transformer.fit_transform(events)
    names = transformer.get_feature_names_out().tolist()
    assert names[:2] == ["jets__pt_1", "jets__eta_1"]
    assert names[-3:] == ["lepton__pt", "lepton__eta", "met"]
    assert table.shape == (N, len(names))
    np.testing.assert_array_equal(table[:, -3:-1], events["lepton"])
    np.testing.assert_array_equal(
        table[:, -1], MinMaxScaler().fit_transform(events["met"][:, None])[:, 0]
    )
    np.testing.assert_array_equal(
        table[:, 0], ak.fill_none(ak.max(events["jets"].pt, axis=1), np.nan).to_numpy().astype("f4")
    )


def test_float32_stays_where_all_are():
    events = Events(a=np.ones((3, 2), np.float32), b=np.ones(3, np.float32))
    transformer = EventsTransformer({"a": MinMaxScaler()}, concatenate=True)
    assert transformer.fit_transform(events).dtype == np.float32
    mixed = Events(a=events["a"], b=np.ones(3))
    assert transformer.fit_transform(mixed).dtype == np.float64


def test_dataframes_out():
    events = make_events()
    transformer = EventsTransformer({"lepton": ZScoreScaler(), "jets": "drop"}, concatenate=True)
    expected = transformer.fit_transform(events)
    for library in (pd, pl):
        transformer.set_output(transform=library.__name__)
        for frame in (transformer.fit_transform(events), transformer.transform(events)):
            assert isinstance(frame, library.DataFrame)
            assert list(frame.columns) == ["lepton__pt", "lepton__eta", "met", "number"]
            np.testing.assert_array_equal(frame, expected)


def test_dataframes_inside_events():
    events = make_events()
    transformer = EventsTransformer({"lepton": ZScoreScaler(), "jets": JaggedToPadded(20)})
    out = transformer.set_output(transform="pandas").fit_transform(events)
    assert out["lepton"].columns.tolist() == ["pt", "eta"]
    assert isinstance(out["jets"], np.ndarray)
    pipeline = make_pipeline(transformer).set_output(transform="polars")
    assert isinstance(pipeline.fit_transform(events)["lepton"], pl.DataFrame)
    with sklearn.config_context(transform_output="pandas"):
        plain = EventsTransformer({"lepton": ZScoreScaler()})
        assert isinstance(plain.fit_transform(events), Events)


def test_transformers_without_names():
    events = Events(a=np.ones((3, 2)))
    transformer = EventsTransformer({"a": FunctionTransformer(np.negative)}, concatenate=True)
    transformer.set_output(transform="pandas")
    assert transformer.fit_transform(events).shape == (3, 2)
    with pytest.raises(AttributeError, match="FunctionTransformer does not provide"):
        transformer.get_feature_names_out()


def test_no_names_for_events():
    transformer = EventsTransformer({}).fit(make_events())
    with pytest.raises(AttributeError, match="get_feature_names_out"):
        transformer.get_feature_names_out()


def test_one_dimensional_inputs_are_columns():
    values = [1.0, np.nan, -999.0, 3.0]
    for column in (np.array(values), pd.Series(values), pl.Series(values), ak.Array(values)):
        imputer = MissingValueImputer(add_indicator=True)
        transformer = EventsTransformer({"met": imputer}, concatenate=True)
        table = transformer.fit_transform(Events(met=column))
        assert table.tolist() == [[1, 0], [2, 1], [2, 1], [3, 0]]
        names = transformer.get_feature_names_out().tolist()
        assert names == ["met", "met__missingindicator_met"]
    untouched = EventsTransformer({}, concatenate=True)
    np.testing.assert_array_equal(
        untouched.fit_transform(Events(a=ak.Array([1.0, None]), b=[1, 2])), [[1, 1], [np.nan, 2]]
    )


def test_sparse_inputs_and_outputs_are_filled():
    sparse = scipy.sparse.csr_array(np.eye(3))
    events = Events(one=sparse, two=sparse)
    transformer = EventsTransformer({"two": FunctionTransformer(lambda X: 2 * X)}, concatenate=True)
    np.testing.assert_array_equal(
        transformer.fit_transform(events), np.hstack([np.eye(3), 2 * np.eye(3)])
    )
    assert transformer.transformers_["one"] == "passthrough"


def test_columns_that_pass_are_taken_by_name():
    events = make_events()[["lepton"]]
    transformer = EventsTransformer({}, concatenate=True).fit(events)
    swapped = Events(lepton=events["lepton"][["eta", "pt"]])
    np.testing.assert_array_equal(transformer.transform(swapped), events["lepton"])


@pytest.mark.parametrize(
    ("transformers", "parameters", "error", "text"),
    [
        ({"muons": MinMaxScaler()}, {}, ValueError, "no input 'muons': its inputs are"),
        ({"met": 3}, {}, TypeError, r"transformers\['met'\]=3 must be a transformer"),
        ({"met": MinMaxScaler}, {}, TypeError, "must be a transformer"),
        ([("met", MinMaxScaler())], {}, TypeError, "must be a dict"),
        ({"a__b": "drop"}, {}, ValueError, "'a__b' collides"),
        ({"remainder": "drop"}, {}, ValueError, "'remainder' collides"),
        ({}, {"remainder": "keep"}, ValueError, "remainder='keep'"),
        ({}, {"remainder": "drop"}, ValueError, "nothing is left"),
        ({}, {"concatenate": True}, ValueError, "'jets' is no table .* CloudToTable"),
        (
            {"jets": JaggedToPadded(20)},
            {"concatenate": True},
            ValueError,
            r"'jets' is no table \(shape \(60, 20, 2\)\)",
        ),
    ],
    ids=str,
)
def test_wrong_parameters(transformers, parameters, error, text):
    with pytest.raises(error, match=text):
        EventsTransformer(transformers, **parameters).fit_transform(make_events())


def test_wrong_input():
    transformer = EventsTransformer({"met": MinMaxScaler()})
    with pytest.raises(
        TypeError, match=r"got ndarray: name the inputs, as in Events\(jets=array\)"
    ):
        transformer.fit(np.zeros((3, 2)))
    with pytest.raises(NotFittedError):
        transformer.transform(make_events())
    transformer.fit(make_events())
    with pytest.raises(ValueError, match=r"lacks the inputs \['jets', 'number'\]"):
        transformer.transform(make_events()[["met", "lepton"]])
    with pytest.raises(ValueError, match="'name' is no table"):
        EventsTransformer({}, concatenate=True).fit(Events(name=["a", "b"]))
    with pytest.raises(ValueError, match="'name' holds <U1, but the table takes numbers"):
        EventsTransformer({}, concatenate=True).fit(Events(name=[["a"], ["b"]]))
    with pytest.raises(TypeError, match=r"fit got \['groups'\], which need metadata routing"):
        transformer.fit(make_events(), groups=np.arange(N))


def test_parameters_by_name():
    transformer = EventsTransformer({"jets": JaggedToPadded(4), "met": "passthrough"})
    parameters = transformer.get_params()
    assert parameters["jets__max_particles"] == 4
    assert parameters["met"] == "passthrough"
    transformer.set_params(jets__max_particles=7, met=MinMaxScaler(), remainder="drop")
    transformer.set_params(met__feature_range=(0, 1))
    assert transformer.transformers["jets"].max_particles == 7
    assert transformer.transformers["met"].feature_range == (0, 1)
    assert transformer.remainder == "drop"
    with pytest.raises(ValueError, match="Invalid parameter 'muons'"):
        transformer.set_params(muons="drop")
    twin = clone(transformer)
    twin.set_params(jets__max_particles=1, met="drop")
    assert transformer.transformers["jets"].max_particles == 7
    assert transformer.transformers["met"].feature_range == (0, 1)
    replaced = transformer.set_params(transformers={"x": MinMaxScaler()}, x__feature_range=(0, 2))
    assert replaced.get_params()["x__feature_range"] == (0, 2)


class _NeedsTarget(BaseEstimator):
    def fit(self, X, y, sample_weight=None, groups=None):
        self.seen_ = (y, sample_weight, groups)
        return self

    def transform(self, X, scale=1):
        return X * scale


def test_metadata_goes_where_it_is_requested():
    events, y, weight = make_events(), np.arange(N), np.ones(N)
    with sklearn.config_context(enable_metadata_routing=True):
        wants = (
            _NeedsTarget()
            .set_fit_request(sample_weight=True, groups="event")
            .set_transform_request(scale=True)
        )
        refuses = (
            _NeedsTarget()
            .set_fit_request(sample_weight=False, groups=False)
            .set_transform_request(scale=False)
        )
        transformer = EventsTransformer({"met": wants, "number": refuses, "jets": "drop"})
        transformer.fit(events, y, sample_weight=weight, event=y)
        assert transformer.transformers_["met"].seen_ == (y, weight, y)
        assert transformer.transformers_["number"].seen_ == (y, None, None)
        out = transformer.transform(events, scale=2)
        np.testing.assert_array_equal(out["met"][:, 0], 2 * events["met"])
        out = transformer.fit_transform(events, y, sample_weight=weight, event=y, scale=3)
        np.testing.assert_array_equal(out["met"][:, 0], 3 * events["met"])
        with pytest.raises(TypeError, match="unexpected argument"):
            transformer.fit(events, y, nonsense=1)
        undecided = EventsTransformer({"met": StandardScaler()})
        with pytest.raises(UnsetMetadataPassedError):
            undecided.fit(events, sample_weight=weight)


def test_without_routing_weights_go_to_those_that_take_them():
    events, y, weight = make_events(), np.arange(N), np.ones(N)
    inner = make_pipeline(MinMaxScaler(), _NeedsTarget())
    transformer = EventsTransformer(
        {"met": _NeedsTarget(), "number": inner, "jets": JaggedToPadded()}
    )
    transformer.fit(events, y, sample_weight=weight)
    assert transformer.transformers_["met"].seen_ == (y, weight, None)
    assert transformer.transformers_["number"][-1].seen_ == (y, weight, None)
    pipeline = make_pipeline(transformer)
    pipeline.fit(events, y, eventstransformer__sample_weight=weight)
    assert pipeline[0].transformers_["met"].seen_[1] is weight


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.TruncationWarning")
def test_a_search_with_signed_weights():
    rng = np.random.default_rng(1)
    events = make_events(300)
    y = (events["met"] + rng.normal(size=300) * 20 > 30).astype(int)
    weight = np.where(rng.random(300) < 0.2, -0.5, 1.0)
    jets = make_pipeline(JaggedToPadded(), CloudToTable(features=["pt", "eta"]))
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(
            EventsTransformer(
                {"jets": jets, "met": ZScoreScaler(), "number": "drop"}, concatenate=True
            ),
            BDTClassifier(n_estimators=8, n_jobs=1, random_state=0),
        )
        grid = {
            "eventstransformer__met": ["drop", ZScoreScaler()],
            "eventstransformer__jets__jaggedtopadded__max_particles": [1, None],
        }
        search = GridSearchCV(
            model, grid, cv=EventNumberKFold(3), scoring=roc_auc_scorer(), error_score="raise"
        )
        search.fit(events, y, sample_weight=weight, groups=events["number"])
    scores = search.cv_results_["mean_test_score"].reshape(2, 2)
    kept = [value != "drop" for value in search.cv_results_["param_eventstransformer__met"]]
    assert search.cv_results_["mean_test_score"][kept].min() > 0.8
    assert search.cv_results_["mean_test_score"][np.logical_not(kept)].max() < 0.7
    assert scores.shape == (2, 2)
    assert len(search.predict(events[:5])) == 5


def test_pickle_and_html():
    events = make_events()
    transformer = EventsTransformer({"lepton": ZScoreScaler()}).fit(events)
    twin = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(
        twin.transform(events)["lepton"], transformer.transform(events)["lepton"]
    )
    assert "EventsTransformer" in transformer._repr_html_()


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_estimator_tags_renamed",
        "check_mixin_order",
        "check_valid_tag_types",
    ],
)
def test_more_scikit_learn_checks(check):
    transformer = EventsTransformer({"met": MinMaxScaler(), "jets": "drop"})
    getattr(estimator_checks, check)("EventsTransformer", transformer)
