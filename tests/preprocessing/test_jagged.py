import pickle
import warnings
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import _safe_indexing, estimator_checks

from skhep_ml.ensemble import BDTClassifier
from skhep_ml.events import Events
from skhep_ml.exceptions import TruncationWarning
from skhep_ml.metrics import roc_auc_scorer
from skhep_ml.model_selection import EventNumberKFold
from skhep_ml.preprocessing import CloudToTable, JaggedToPadded, _jagged
from skhep_ml.preprocessing._jagged import falling_order

HZZ = Path(__file__).parents[3] / "shared" / "data" / "uproot-HZZ.root"
NAN = np.nan


def make_records(n_events=200, seed=0, mean=3.0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean, n_events)
    size = counts.sum()
    return ak.unflatten(
        ak.zip(
            {
                "pt": rng.exponential(30.0, size).round().astype(np.float32),
                "eta": rng.normal(size=size),
                "charge": rng.choice([-1, 0, 1], size).astype(np.int32),
            }
        ),
        counts,
    )


def slow(events, features, length, key=None):
    """Cloud of lists of dicts, particle by particle."""
    cloud = np.full((len(events), length, len(features)), NAN, np.float32)
    for index, event in enumerate(events):
        rows = []
        for particle in event or []:
            values = [
                NAN if particle is None or particle[name] in (None, -999) else particle[name]
                for name in features
            ]
            if not np.isnan(values).all():
                falling = None if key is None else particle[key]
                rows.append((falling, values))
        if key is not None:
            missing = [row[0] is None or row[0] == -999 or np.isnan(row[0]) for row in rows]
            order = sorted(
                range(len(rows)),
                key=lambda i, rows=rows, missing=missing: (
                    missing[i],
                    0 if missing[i] else -rows[i][0],
                ),
            )
            rows = [rows[i] for i in order]
        for place, (_, values) in enumerate(rows[:length]):
            cloud[index, place] = values
    return cloud


def same(cloud, expected):
    np.testing.assert_array_equal(cloud, expected)
    assert cloud.dtype == np.float32


@pytest.mark.parametrize("selection", [slice(None), slice(20, 90), "permuted"])
@pytest.mark.parametrize("key", [None, "pt", "eta"])
def test_records_equal_the_slow_loop(selection, key):
    records = make_records()
    if selection == "permuted":
        selection = np.random.default_rng(1).permutation(len(records))[:150]
    chosen = records[selection]
    to_padded = JaggedToPadded(sort_by=key or False)
    cloud = to_padded.fit_transform(chosen)
    assert to_padded.max_particles_ == ak.max(ak.num(chosen))
    assert to_padded.features_ == ["pt", "eta", "charge"]
    assert to_padded.n_features_in_ == 3
    same(cloud, slow(chosen.to_list(), to_padded.features_, cloud.shape[1], key))
    same(to_padded.transform(chosen), cloud)


def as_columns(records):
    return ak.zip({f"jet_{name}": records[name] for name in records.fields}, depth_limit=1)


FORMS = {
    "records": lambda r: r,
    "columns": as_columns,
    "columns of selected events": lambda r: as_columns(ak.concatenate([r, r]))[: len(r)],
    "columns of separate arrays": lambda r: ak.zip(
        {name: ak.concatenate([r[name][:7], r[name][7:]]) for name in r.fields}, depth_limit=1
    ),
    "dict of columns": lambda r: {name: r[name] for name in r.fields},
    "Events of records": lambda r: Events(jets=r),
    "Events of columns": lambda r: Events({name: r[name] for name in r.fields}),
    "nested record": lambda r: ak.zip({"jets": r}, depth_limit=1),
    "list of dicts": lambda r: r.to_list(),
    "list of columns": lambda r: as_columns(r).to_list(),
    "scikit-learn's list of arrays": lambda r: _safe_indexing(r, np.arange(len(r))),
    "scikit-learn's list of records": lambda r: _safe_indexing(as_columns(r), np.arange(len(r))),
    "pickled records": lambda r: pickle.loads(pickle.dumps(list(as_columns(r)))),
    "pandas": lambda r: pd.DataFrame({name: r[name].to_list() for name in r.fields}),
    "polars": lambda r: pl.DataFrame({name: r[name].to_list() for name in r.fields}),
    "optional": lambda r: ak.mask(r, np.ones(len(r), bool)),
    "optional particles": lambda r: ak.mask(r, r.pt > -1),
    "indexed": lambda r: ak.Array(
        ak.contents.IndexedArray(ak.index.Index64(np.arange(len(r))), r.layout)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input_gives_the_same_cloud(form):
    records = make_records(40)
    X = FORMS[form](records)
    expected = slow(records.to_list(), records.fields, 9, "pt")
    same(JaggedToPadded(9).fit_transform(X), expected)


@pytest.mark.parametrize(
    "form", ["feature lists", "regular", "ndarrays", "object array", "padded", "masked"]
)
def test_forms_without_names(form):
    records = make_records(40)
    names = ["pt", "eta", "charge"]
    expected = slow(records.to_list(), names, 9)
    lists = [[[p[name] for name in names] for p in event] for event in records.to_list()]
    arrays = [np.array(event, np.float32).reshape(-1, 3) for event in lists]
    objects = np.empty(40, dtype=object)
    objects[:] = arrays
    X = {
        "feature lists": lists,
        "regular": ak.unflatten(
            ak.from_regular(ak.Array(np.concatenate(arrays)), axis=None), ak.num(records)
        ),
        "ndarrays": arrays,
        "object array": objects,
        "padded": expected,
        "masked": np.ma.masked_invalid(expected),
    }[form]
    to_padded = JaggedToPadded(9)
    same(to_padded.fit_transform(X), expected)
    assert to_padded.features_ == ["pt", "eta", "phi"]
    assert to_padded.sort_by_ is None
    # names say what the first feature is
    named = JaggedToPadded(9, features=names)
    same(named.fit_transform(X), slow(records.to_list(), names, 9, "pt"))
    # names and no names go together by position
    same(named.transform(records), named.transform(X))


def test_one_feature():
    for X in ([[1.0, 3.0, 2.0], [], [5]], ak.Array([[1.0, 3.0, 2.0], [], [5]])):
        to_padded = JaggedToPadded(sort_by=0)
        cloud = to_padded.fit_transform(X)
        same(cloud[..., 0], [[3, 2, 1], [NAN] * 3, [5, NAN, NAN]])
        assert to_padded.features_ == ["pt"]


def test_missing_values():
    events = [
        [{"pt": 1.0, "eta": -999.0}, {"pt": None, "eta": 2.0}, {"pt": 5.0, "eta": 3}],
        [{"pt": -999.0, "eta": None}, {"pt": NAN, "eta": NAN}, {"pt": 1.0, "eta": NAN}],
        None,
        [None, {"pt": 2.0, "eta": 2.0}],
        [{"pt": -1.0, "eta": -99.0}],
    ]
    to_padded = JaggedToPadded()
    cloud = to_padded.fit_transform(ak.Array(events))
    expected = slow(events, ["pt", "eta"], 3, "pt")
    same(cloud, expected)
    same(cloud[0], [[5, 3], [1, NAN], [NAN, 2]])
    # all-missing particles are absent and do not count
    assert np.isnan(cloud[1:3]).all(axis=2).tolist() == [[False, True, True], [True] * 3]
    assert JaggedToPadded().fit(ak.Array(events[1:])).max_particles_ == 1
    same(to_padded.transform(events), expected)
    cloud = JaggedToPadded(1, missing_values=(-99.0, -1)).fit_transform(ak.Array(events[4:]))
    same(cloud, [[[NAN, NAN]]])


def test_sentinels_can_be_switched_off():
    X = ak.Array([[{"pt": -999.0}, {"pt": 1.0}]])
    cloud = JaggedToPadded(missing_values=()).fit_transform(X)
    same(cloud, [[[1.0], [-999.0]]])
    same(JaggedToPadded(missing_values=1).fit_transform(X), [[[-999.0]]])


def test_a_hole_in_a_cloud_is_closed():
    cloud = np.array([[[1.0, 2.0], [NAN, NAN], [3.0, NAN]]], np.float32)
    same(JaggedToPadded().fit_transform(cloud), [[[1, 2], [3, NAN]]])


@pytest.mark.parametrize("name", ["pt", "pT", "PT", "jet_pt", "Jet_pt"])
def test_sorted_by_transverse_momentum_by_default(name):
    X = ak.Array([[{"eta": 0.0, name: 1.0}, {"eta": 1.0, name: 2.0}]])
    to_padded = JaggedToPadded()
    same(to_padded.fit_transform(X), [[[2, 1], [1, 0]]])
    assert to_padded.sort_by_ == name
    assert to_padded.features_ == [name, "eta"]
    same(JaggedToPadded(sort_by=False).fit_transform(X), [[[1, 0], [2, 1]]])


def test_order_is_kept_without_it():
    X = ak.Array([[{"e": 1.0}, {"e": 2.0}]])
    same(JaggedToPadded().fit_transform(X), [[[1], [2]]])
    same(JaggedToPadded(sort_by="e").fit_transform(X), [[[2], [1]]])
    same(JaggedToPadded(sort_by=-1).fit_transform(X), [[[2], [1]]])


def test_sorted_by_a_field_that_is_no_feature():
    X = ak.Array([[{"eta": 0.0, "btag": 0.1}, {"eta": 1.0, "btag": 0.9}, {"eta": 2, "btag": NAN}]])
    to_padded = JaggedToPadded(features=["eta"], sort_by="btag")
    same(to_padded.fit_transform(X), [[[1], [0], [2]]])
    same(to_padded.transform(X), [[[1], [0], [2]]])
    assert to_padded.features_ == ["eta"]


def test_equal_particles_keep_their_order():
    n = 300
    X = ak.Array([[{"pt": float(i % 3), "place": i} for i in range(n)]])
    for dtype in ("float32", "float64"):
        place = JaggedToPadded(dtype=dtype).fit_transform(X)[0, :, 1]
        assert place.tolist() == [*range(2, n, 3), *range(1, n, 3), *range(0, n, 3)]


def test_float64_is_exact():
    X = ak.Array([[{"pt": 1.0}, {"pt": 1.0 + 1e-12}, {"pt": NAN}, {"pt": -3.0}]])
    cloud = JaggedToPadded(dtype=np.float64, sort_by="pt").fit_transform(X)
    assert cloud.dtype == np.float64
    assert cloud[0, :3, 0].tolist() == [1.0 + 1e-12, 1.0, -3.0]


key_values = st.floats(width=32, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, NAN])


@given(st.lists(st.lists(key_values, max_size=6), max_size=6), st.booleans())
def test_falling_order_is_a_stable_sort(events, double):
    counts = np.array([len(event) for event in events], dtype=np.int64)
    key = np.array([value for event in events for value in event], dtype=np.float32)
    order = falling_order(key.astype(np.float64) if double else key, counts)
    found = np.arange(len(key)) if order is None else order
    expected, start = [], 0
    for event in events:
        by_key = sorted(
            range(len(event)), key=lambda i, e=event: (np.isnan(e[i]), -np.nan_to_num(e[i]))
        )
        expected += [start + index for index in by_key]
        start += len(event)
    assert found.tolist() == expected
    assert order is not None or expected == list(range(len(key)))


def test_very_long_events():
    rng = np.random.default_rng(0)
    key = rng.normal(size=70_000).astype(np.float32)
    cloud = JaggedToPadded(sort_by=0).fit_transform([key, key[:2]])
    same(cloud[0, :, 0], np.sort(key)[::-1])
    same(cloud[1, :2, 0], np.sort(key[:2])[::-1])


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_change_nothing(block, monkeypatch):
    records = ak.concatenate([make_records(60), make_records(30, mean=0.0), make_records(60, 2)])
    expected = JaggedToPadded().fit_transform(records)
    monkeypatch.setattr(_jagged, "_BLOCK", block)
    same(JaggedToPadded().fit_transform(records), expected)


def test_truncation_says_what_is_lost():
    X = ak.Array([[{"pt": 1.0}, {"pt": 3.0}, {"pt": 2.0}], [{"pt": 1.0}, {"pt": 2.0}], [], [None]])
    to_padded = JaggedToPadded(1)
    text = r"3 of 5 particles \(60\.00%\) in 2 of 4 events are lost: .* max_particles=1"
    with pytest.warns(TruncationWarning, match=text) as got:
        cloud = to_padded.fit_transform(X)
    assert len(got) == 1
    assert got[0].filename == __file__
    same(cloud[:, :, 0], [[3], [2], [NAN], [NAN]])
    with pytest.warns(TruncationWarning, match="3 of") as got:
        to_padded.transform(X)
    assert len(got) == 1
    assert got[0].filename == __file__


def test_more_particles_than_in_training_are_lost():
    to_padded = JaggedToPadded().fit([[1.0], [2.0]])
    with pytest.warns(TruncationWarning, match="1 of 3 particles"):
        same(to_padded.transform([[1.0, 2.0], [4.0]]), [[[1]], [[4]]])


def test_events_without_particles():
    records = make_records(10)
    to_padded = JaggedToPadded(5, sort_by=False).fit(records)
    empty = np.full((2, 5, 3), NAN)
    for X in ([[], []], ak.Array([[], []]), records[:2][:, :0], [None, None]):
        same(to_padded.transform(X), empty)
    for X in ([], ak.Array([]), records[:0], Events(jets=records[:0]), np.zeros((0, 4, 3))):
        assert to_padded.transform(X).shape == (0, 5, 3)
    with pytest.raises(ValueError, match="no event in X holds a particle"):
        JaggedToPadded().fit(records[:2][:, :0])
    with pytest.raises(ValueError, match="no event in X holds a particle"):
        JaggedToPadded().fit([None, None])
    with pytest.raises(ValueError, match="0 sample"):
        JaggedToPadded().fit(records[:0])
    same(JaggedToPadded(2).fit_transform(records[:1][:, :0]), np.full((1, 2, 3), NAN))


def test_fields_are_matched_by_name():
    records = make_records(30)
    to_padded = JaggedToPadded(20)
    cloud = to_padded.fit_transform(records)
    same(to_padded.transform(records[["charge", "pt", "eta"]]), cloud)
    with pytest.raises(ValueError, match=r"\['eta'\] are missing"):
        to_padded.transform(records[["charge", "pt"]])
    wider = ak.with_field(records, records.pt, "mass")
    with pytest.raises(ValueError, match=r"\['mass'\] are new"):
        to_padded.transform(wider)
    chosen = JaggedToPadded(20, features=["eta", "pt"]).fit(records)
    same(chosen.transform(wider), cloud[..., [1, 0]])
    with pytest.raises(ValueError, match="no field 'eta': its fields are"):
        chosen.transform(records[["charge", "pt"]])
    with pytest.raises(ValueError, match=r"2 features without names, but .* expecting 3"):
        to_padded.transform(np.zeros((2, 3, 2)))


def event_with(**fields):
    return ak.Array([fields])


@pytest.mark.parametrize(
    ("X", "text"),
    [
        (np.zeros((4, 3)), r"X of shape \(4, 3\) holds no particles"),
        (np.zeros(4), "holds no particles"),
        (ak.Array([1.0, 2.0]), "X holds one value per event"),
        ([1.0, 2.0], "X holds one value per event"),
        (event_with(jet_pt=[1.0], met=3.0), "'met' holds one value per event .* EventsTransformer"),
        (
            event_with(jet_pt=[1.0, 2.0], mu_pt=[1.0]),
            "'jet_pt' has 2 particles in event 0, 'mu_pt' has 1",
        ),
        (
            event_with(jets=[{"pt": 1.0}], muons=[{"pt": 1.0}]),
            "'jets' among .* is a collection by itself",
        ),
        (ak.Array([[{"pt": 1.0, "name": "a"}]]), "'name' holds .* real numbers"),
        (ak.Array([[["a"]]]), "real numbers"),
        (ak.Array([[[1.0, 2.0], [3.0]]]), "equally many features"),
        (ak.Array([[[[1.0, 2.0]], [[3.0, 4.0]]]]), "nested too deeply"),
        ([np.zeros((2, 3)), np.zeros((2, 2))], "with the same features"),
        ([np.zeros((2, 3, 4))], "with the same features"),
        ({"a": [[1.0]], "b": [[1.0], [2.0]]}, "'a' has 1 events, 'b' has 2"),
        (Events(jets=make_records(3), met=[1.0, 2.0, 3.0]), "EventsTransformer"),
    ],
    ids=str,
)
def test_wrong_input(X, text):
    with pytest.raises(ValueError, match=text):
        JaggedToPadded().fit(X)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinite_values_name_the_feature(value):
    X = ak.Array([[{"pt": 1.0, "eta": 0.0}], [{"pt": 2.0, "eta": value}]])
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        JaggedToPadded().fit(X)
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        JaggedToPadded().fit(X[:1]).transform(X)
    with pytest.raises(ValueError, match="infinity in column 'eta'"):
        JaggedToPadded(features=["pt"], sort_by="eta").fit_transform(X)
    assert JaggedToPadded(features=["pt"]).fit_transform(X).shape == (2, 1, 1)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"max_particles": 0}, "max_particles=0"),
        ({"max_particles": 2.5}, "max_particles=2.5"),
        ({"sort_by": "mass"}, "'mass', but the clouds have"),
        ({"sort_by": 7}, "sort_by=7 is out of range"),
        ({"sort_by": True}, "sort_by=True"),
        ({"sort_by": 1.5}, "sort_by=1.5"),
        ({"features": "pt"}, r"must be a list of names: \['pt'\]"),
        ({"features": []}, "names no feature"),
        ({"features": ["pt", "pt"]}, "twice"),
        ({"features": ["pt", "mass"]}, "no field 'mass'"),
        ({"dtype": "int32"}, "dtype='int32' must be float32 or float64"),
        ({"missing_values": "none"}, "missing_values='none'"),
    ],
    ids=str,
)
def test_wrong_parameters(parameters, text):
    with pytest.raises(ValueError, match=text):
        JaggedToPadded(**parameters).fit(make_records(5))


def test_the_way_back():
    records = make_records(50)
    to_padded = JaggedToPadded(sort_by=False)
    back = to_padded.inverse_transform(to_padded.fit_transform(records))
    assert back.fields == records.fields
    assert ak.num(back).to_list() == ak.num(records).to_list()
    for name in records.fields:
        expected = ak.values_astype(records[name], np.float32)
        assert back[name].to_list() == expected.to_list()
    by_pt = JaggedToPadded()
    sorted_records = by_pt.inverse_transform(by_pt.fit_transform(records))
    order = ak.argsort(records.pt, ascending=False, stable=True)
    assert sorted_records.pt.to_list() == records.pt[order].to_list()
    same(by_pt.transform(sorted_records), by_pt.transform(records))
    with pytest.raises(ValueError, match="2 features on its last axis"):
        by_pt.inverse_transform(np.zeros((2, 3, 2)))
    with pytest.raises(ValueError, match=r"must have shape .* got \(2, 3\)"):
        by_pt.inverse_transform(np.zeros((2, 3)))


particles = st.fixed_dictionaries(
    {
        "eta": st.floats(-5, 5, width=32) | st.sampled_from([None, -999.0, NAN]),
        "pt": st.floats(0, 9, width=16) | st.sampled_from([None, -999.0, NAN]),
    }
)


@settings(max_examples=40)
@given(
    st.lists(st.lists(particles, min_size=1, max_size=5), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_permuted_and_split_events(events, random):
    whole = ak.Array([*events, [{"eta": 0.0, "pt": 1.0}]])
    to_padded = JaggedToPadded(4, features=["eta", "pt"]).fit(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        cloud = to_padded.transform(whole)
        same(cloud, slow(whole.to_list(), ["eta", "pt"], 4, "pt"))
        order = list(range(len(whole)))
        random.shuffle(order)
        same(to_padded.transform(whole[order]), cloud[order])
        middle = len(whole) // 2
        parts = [to_padded.transform(part) for part in (whole[:middle], whole[middle:])]
        same(np.concatenate(parts), cloud)


def flatten(cloud):
    return cloud.reshape(len(cloud), -1)


def make_signed_sample(n_events=300):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, n_events)
    counts = rng.poisson(3, n_events) + y
    pt = rng.exponential(20.0 + 20.0 * np.repeat(y, counts))
    eta = rng.normal(size=counts.sum())
    eta[::17] = -999.0
    weight = np.where(rng.random(n_events) < 0.2, -0.5, 1.0)
    return ak.unflatten(ak.zip({"pt": pt, "eta": eta}), counts), y, weight, np.arange(n_events)


@pytest.mark.filterwarnings("ignore::skhep_ml.exceptions.TruncationWarning")
def test_a_search_over_raw_awkward_and_over_events_is_the_same():
    records, y, weight, number = make_signed_sample()
    found = []
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(
            JaggedToPadded(),
            FunctionTransformer(flatten),
            BDTClassifier(n_estimators=8, n_jobs=1, random_state=0),
        )
        for X in (records, Events(jets=records)):
            search = GridSearchCV(
                model,
                {"jaggedtopadded__max_particles": [1, 4]},
                cv=EventNumberKFold(3),
                scoring=roc_auc_scorer(),
                error_score="raise",
            )
            search.fit(X, y, sample_weight=weight, groups=number)
            found.append(search)
    scores = [search.cv_results_["mean_test_score"] for search in found]
    np.testing.assert_array_equal(*scores)
    assert scores[0].min() > 0.6
    assert scores[0][1] > scores[0][0]


def test_in_a_pipeline_with_dataframes():
    records = make_records(30)
    pipeline = make_pipeline(
        JaggedToPadded(features=["pt"]), CloudToTable(features=["pt"], n_leading=1)
    )
    pipeline.set_output(transform="pandas")
    table = pipeline.fit_transform(records)
    assert table.columns.tolist() == pipeline.get_feature_names_out().tolist()
    np.testing.assert_array_equal(table["pt_1"], ak.max(records.pt, axis=1).to_numpy().filled(NAN))
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(JaggedToPadded().fit_transform(records), np.ndarray)


def test_clone_and_pickle():
    records = make_records(30)
    to_padded = JaggedToPadded(20, sort_by="eta", features=["pt", "eta"]).fit(records)
    cloud = to_padded.transform(records)
    assert not hasattr(clone(to_padded), "features_")
    same(clone(to_padded).fit_transform(records), cloud)
    same(pickle.loads(pickle.dumps(to_padded)).transform(records), cloud)
    assert to_padded.get_feature_names_out().tolist() == ["pt", "eta"]


@pytest.mark.skipif(not HZZ.exists(), reason="the file uproot-HZZ.root is not there")
def test_jets_of_a_root_file():
    uproot = pytest.importorskip("uproot")
    with uproot.open(HZZ) as file:
        arrays = file["events"].arrays(filter_name=["Jet_*", "Muon_*", "MET_px"])
    features = ["Jet_E", "Jet_Px", "Jet_Py", "Jet_Pz", "Jet_btag", "Jet_ID"]
    to_padded = JaggedToPadded(features=features, sort_by="Jet_E")
    cloud = to_padded.fit_transform(arrays)
    assert len(cloud) == 2421
    assert to_padded.max_particles_ == ak.max(ak.num(arrays.Jet_E))
    same(
        cloud,
        slow(ak.zip({f: arrays[f] for f in features}).to_list(), features, cloud.shape[1], "Jet_E"),
    )
    back = to_padded.inverse_transform(cloud)
    assert ak.num(back).to_list() == ak.num(arrays.Jet_E).to_list()
    dictionary = {name: arrays[name] for name in arrays.fields}
    same(to_padded.transform(dictionary), cloud)
    same(to_padded.transform(Events(dictionary)[100:50:-1]), cloud[100:50:-1])
    with pytest.raises(ValueError, match="EventsTransformer"):
        JaggedToPadded().fit(arrays)


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
    getattr(estimator_checks, check)("JaggedToPadded", JaggedToPadded())


def test_default_order_is_the_one_that_other_transformers_expect():
    # 3 and 4 GeV back to back: the mass is 7
    events = ak.Array(
        [[{"q": 1, "phi": 0.0, "m": 0.0, "pt": 4.0, "eta": 0.0},
          {"q": -1, "phi": np.pi, "m": 0.0, "pt": 3.0, "eta": 0.0}]]
    )  # fmt: skip
    pipe = make_pipeline(JaggedToPadded(dtype="float64"), CloudToTable(n_leading=0))
    table = pipe.fit_transform(events)
    assert pipe[0].features_ == ["pt", "eta", "phi", "m", "q"]
    names = pipe.get_feature_names_out().tolist()
    assert table[0, names.index("mass")] == pytest.approx(2 * np.sqrt(12))
    reordered = events[["pt", "m", "q", "eta", "phi"]]
    np.testing.assert_array_equal(pipe.transform(reordered), table)
    np.testing.assert_array_equal(pipe.fit_transform(reordered), table)


def test_fields_that_may_both_be_pt_are_refused():
    X = ak.Array([[{"jet_pt": 1.0, "gen_pt": 1.0}]])
    with pytest.raises(ValueError, match="cannot tell which of"):
        JaggedToPadded().fit(X)
    chosen = JaggedToPadded(features=["jet_pt", "gen_pt"], sort_by="gen_pt").fit(X)
    assert chosen.sort_by_ == "gen_pt"


def test_a_field_of_several_numbers_is_refused_by_its_name():
    X = ak.Array([[{"pt": 1.0, "idx": [11, 12]}, {"pt": 2.0, "idx": [13, 14]}], []])
    with pytest.raises(ValueError, match="'idx' holds 2 numbers per particle"):
        JaggedToPadded().fit(X)
    assert JaggedToPadded(features=["pt"]).fit_transform(X).shape == (2, 2, 1)


def test_files_and_arrow_tables_say_how_to_read_them(tmp_path):
    uproot = pytest.importorskip("uproot")
    path = tmp_path / "events.root"
    with uproot.recreate(path) as file:
        file["events"] = {"Jet_pt": ak.Array([[1.0, 2.0], []])}
    with (
        uproot.open(path) as file,
        pytest.raises(ValueError, match=r"call \.arrays\(\) on a tree"),
    ):
        JaggedToPadded().fit(file["events"])
    pyarrow = pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"ak\.from_arrow\(table\)"):
        JaggedToPadded().fit(pyarrow.table({"pt": [[1.0, 2.0], []]}))


def test_momenta_of_vector_have_their_usual_names():
    vector = pytest.importorskip("vector", reason="needs vector (extra root)")
    fields = {
        "eta": ak.Array([[1.0, 2.0], []]),
        "mass": ak.Array([[0.1, 0.2], []]),
        "phi": ak.Array([[0.5, 0.6], []]),
        "pt": ak.Array([[30.0, 50.0], []]),
    }
    plain = JaggedToPadded().fit(ak.zip(fields))
    made = JaggedToPadded().fit(vector.zip(fields))
    assert sorted(made.features_) == sorted(plain.features_) == ["eta", "mass", "phi", "pt"]
    for features in (None, ["pt", "mass"]):
        step = JaggedToPadded(features=features)
        np.testing.assert_array_equal(
            step.fit_transform(vector.zip(fields)), step.fit_transform(ak.zip(fields))
        )
    assert step.transform(vector.zip(fields))[0, 0].tolist() == pytest.approx([50.0, 0.2])
