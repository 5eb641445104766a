import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skhep_ml.inspection import evaluate_systematics
from skhep_ml.plotting import SystematicsDisplay

EDGES = [0.0, 0.4, 0.6, 1.0]


@pytest.fixture
def result(sample):
    X = sample.score[:, None]
    weight = np.abs(sample.weight)
    names = ["a", "b", "c", "d", "e"]
    variations = {
        name: (
            weight * np.where(sample.process == "Z", 1 + 0.1 * k, 1.0),
            weight * np.where(sample.process == "Z", 1 - 0.1 * k, 1.0),
        )
        for k, name in enumerate(names)
    }
    variations["f"] = X + 0.05
    events = {"data": X, "target": sample.y, "weight": weight, "process": sample.process}
    model = LogisticRegression().fit(X, sample.y)
    return evaluate_systematics(model, events, variations, bins=EDGES, n_replicas=0)


def test_shifts_are_relative_to_the_sum_of_the_processes(result, legend_texts):
    display = SystematicsDisplay.from_result(result, ["b", "f"])
    w, z = (result.values[result.processes.index(name)] for name in ("W", "Z"))
    np.testing.assert_allclose(display.up[0], 0.1 * z / (w + z))
    np.testing.assert_allclose(display.down[0], -0.1 * z / (w + z))
    assert np.isnan(display.down[1]).all()
    stat = np.sqrt(result.sumw2[~result.signal].sum(axis=0)) / (w + z)
    np.testing.assert_allclose(display.stat, stat)
    side = result.variations["f"].up
    shift = (side.values - result.values)[~result.signal].sum(axis=0)
    np.testing.assert_allclose(display.up[1], shift / (w + z))
    assert legend_texts(display.ax_) == ["Stat. error, nominal", "b up", "b down", "f"]
    assert display.ax_.get_title(loc="right") == "all background, 2 of 6"


def test_a_common_factor_has_no_error(result):
    display = SystematicsDisplay.from_result(result, "c", processes="Z", name="LR")
    np.testing.assert_allclose(display.up, 0.2)
    np.testing.assert_allclose(display.up_errors, 0, atol=1e-9)
    mixed = SystematicsDisplay.from_result(result, "c")
    assert mixed.up_errors.min() > 0
    assert display.ax_.get_xlabel() == "LR score"
    np.testing.assert_allclose(display.lines_[0][0].get_ydata(), 20.0)


def test_largest_variations_are_shown(result):
    display = result.plot()
    assert display.names == ["c", "d", "e", "f"]
    assert len(display.lines_) == 7
    assert result.plot(processes=["W", "Z"]).up.shape == (4, 3)


def test_uneven_bins_are_drawn_equally_wide(result):
    even = SystematicsDisplay.from_result(result, "b")
    assert even.ax_.get_xlim() == (0, 1)
    steps = SystematicsDisplay.from_result(result, "b", equal_steps=True)
    assert steps.ax_.get_xlim() == (0, 3)
    assert [text.get_text() for text in steps.ax_.get_xticklabels()] == ["0", "0.4", "0.6", "1"]


def test_wrong_names_are_refused(result):
    with pytest.raises(ValueError, match=r"variations \['g'\] are not among"):
        SystematicsDisplay.from_result(result, ["a", "g"])
    with pytest.raises(ValueError, match=r"processes \['Q'\] are not among"):
        SystematicsDisplay.from_result(result, processes="Q")
    with pytest.raises(ValueError, match="are not among"):
        SystematicsDisplay.from_result(result, [])
