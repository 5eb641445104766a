import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhep_ml.generative import FlowMatching, sample_pipeline
from skhep_ml.preprocessing import LogScaler

SMALL = {"hidden": (16,), "max_epochs": 3, "device": "cpu", "random_state": 0}


def make_table(n=300):
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(100, 10, n), rng.exponential(5, n) + 1])


def test_samples_come_back_in_the_units_of_the_input():
    X = make_table()
    model = make_pipeline(StandardScaler(), FlowMatching(**SMALL)).fit(X)
    sample = sample_pipeline(model, 100, random_state=0)
    by_hand = model[0].inverse_transform(model[1].sample(100, random_state=0))
    np.testing.assert_array_equal(sample, by_hand)
    assert sample[:, 0].mean() == pytest.approx(100, abs=10)


def test_context_is_given_in_the_units_of_the_input():
    X = make_table()
    model = make_pipeline(
        LogScaler(), StandardScaler(), FlowMatching(context_features=[0], **SMALL)
    ).fit(X)
    for context in (90.0, [90.0], [[90.0]], [[90.0, 3.0]]):
        sample = sample_pipeline(model, 5, context=context, random_state=0)
        np.testing.assert_allclose(sample[:, 0], 90.0, rtol=1e-5)
        assert sample.shape == (5, 2)
    rows = sample_pipeline(model, context=X[:7], random_state=0)
    np.testing.assert_allclose(rows[:, 0], X[:7, 0], rtol=1e-5)
    several = sample_pipeline(model, context=[80.0, 90.0, 110.0], random_state=0)
    np.testing.assert_allclose(several[:, 0], [80.0, 90.0, 110.0], rtol=1e-5)
    alone = FlowMatching(context_features=[0], **SMALL).fit(X)
    np.testing.assert_array_equal(sample_pipeline(alone, 2, context=95.0)[:, 0], 95.0)


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_frames_come_back_as_frames(output):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(make_table(), columns=["mass", "energy"])
    context = ["mass"] if output == "pandas" else [0]
    model = make_pipeline(StandardScaler(), FlowMatching(context_features=context, **SMALL))
    model.set_output(transform=output).fit(frame)
    for given in (95.0, pd.DataFrame({"mass": [95.0], "energy": [1.0]})):
        sample = sample_pipeline(model, 4, context=given, random_state=0)
        assert list(sample.columns) == ["mass", "energy"]
        np.testing.assert_allclose(sample["mass"], 95.0)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_of_the_context_are_found_by_name(library):
    frames = pytest.importorskip(library)
    X = make_table()
    frame = frames.DataFrame({"mass": X[:, 0], "energy": X[:, 1]})
    model = make_pipeline(StandardScaler(), FlowMatching(context_features=["mass"], **SMALL))
    model.set_output(transform=library).fit(frame)
    given = frames.DataFrame({"other": [0.0], "energy": [1.0], "mass": [95.0]})
    expected = sample_pipeline(model, 4, context=95.0, random_state=0)
    assert type(expected) is frames.DataFrame
    for context in (given, given[["mass"]], given[["energy", "mass"]]):
        sample = sample_pipeline(model, 4, context=context, random_state=0)
        np.testing.assert_allclose(sample["mass"], 95.0)
        np.testing.assert_allclose(sample, expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"context lacks the columns \['mass'\]"):
        sample_pipeline(model, 4, context=given[["other"]])


def test_steps_that_change_columns_need_whole_events():
    X = np.column_stack([make_table(), make_table()[::-1]])
    model = make_pipeline(PCA(2), FlowMatching(context_features=[0], **SMALL)).fit(X)
    assert sample_pipeline(model, context=X[:3], random_state=0).shape == (3, 4)
    with pytest.raises(ValueError, match="otherwise events with all 4 columns"):
        sample_pipeline(model, 3, context=1.0)


def test_what_cannot_be_sampled_is_named():
    X = make_table()
    with pytest.raises(ValueError, match="last step 'standardscaler', StandardScaler, has no"):
        sample_pipeline(make_pipeline(StandardScaler()).fit(X), 3)
    pipeline = make_pipeline(PCA(1), FlowMatching(**SMALL)).fit(X)
    pipeline.steps[0] = ("selector", NoInverse().fit(X))
    with pytest.raises(ValueError, match="step 'selector', NoInverse, has no inverse_transform"):
        sample_pipeline(pipeline, 3)


class NoInverse(StandardScaler):
    @property
    def inverse_transform(self):
        raise AttributeError
