import numpy as np
import pytest

from skhep_ml.plotting import Blind, ScoreDisplay


def sample(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.random(n) < 0.3
    score = 1 / (1 + np.exp(-rng.normal(2.0 * signal - 1)))
    process = np.where(signal, "H", "Z")
    is_data = rng.random(n) < 0.4
    return signal, score, process, is_data


def test_score_rule():
    _, score, _, is_data = sample()
    for rule in (0.8, "score > 0.8", " score >= 0.8 "):
        blind = Blind(rule)
        assert str(blind) == "score > 0.8"
        visible = blind.visible(score, is_data)
        assert np.array_equal(visible, ~(is_data & (score >= 0.8)))
        assert np.array_equal(blind.region(score, is_data), score >= 0.8)


def test_sensitivity_rule_by_slow_sums():
    signal, score, _, is_data = sample()
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(score))
    blind = Blind("s/sqrt(b) > 4", n_bins=8)
    region = blind.region(score, is_data, is_signal=signal, sample_weight=weight)
    edges = np.linspace(score[~is_data].min(), score[~is_data].max(), 9)
    hidden = 0
    for k in range(8):
        low = -np.inf if k == 0 else edges[k]
        high = np.inf if k == 7 else edges[k + 1]
        here = (score >= low) & (score < high)
        s = weight[here & ~is_data & signal].sum()
        b = weight[here & ~is_data & ~signal].sum()
        expected = b <= 0 or s / np.sqrt(b) > 4
        hidden += expected
        assert np.all(region[here] == expected)
    assert 0 < hidden < 8


def test_sensitivity_rule_never_reads_recorded_events_but_for_their_place():
    signal, score, _, is_data = sample()
    blind, rng = Blind("s/sqrt(b) > 4"), np.random.default_rng(3)
    before = blind.region(score, is_data, is_signal=signal)
    weight = np.where(is_data, 1e9, 1.0)
    other = np.where(is_data, rng.permutation(score), score)
    flipped = np.where(is_data, ~signal, signal)
    after = blind.region(other, is_data, is_signal=flipped, sample_weight=weight)
    assert np.array_equal(before[~is_data], after[~is_data])


def test_bin_without_expected_background_is_blinded():
    score = np.array([0.1, 0.1, 0.9, 0.9, 0.85])
    signal = np.array([False, True, True, False, False])
    weight = np.array([1.0, 0.001, 0.001, -1.0, 1.0])
    is_data = np.array([False, False, False, False, True])
    blind = Blind("s/sqrt(b) > 1", n_bins=2)
    region = blind.region(score, is_data, is_signal=signal, sample_weight=weight)
    assert region.tolist() == [False, False, True, True, True]


def test_callable_rule():
    _, score, _, is_data = sample()
    mass = np.linspace(0, 200, len(score))

    def window(X, score):
        return (X > 110) & (X < 140)

    blind = Blind(window)
    assert str(blind) == "window"
    visible = blind.visible(score, is_data, X=mass)
    assert np.array_equal(visible, ~(is_data & (mass > 110) & (mass < 140)))
    with pytest.raises(ValueError, match="pass X="):
        blind.visible(score, is_data)
    with pytest.raises(ValueError, match=r"returned must be booleans .* float64"):
        Blind(lambda X, score: score).visible(score, is_data, X=mass)


def test_opening_leaves_a_trace_and_the_closed_one_closed():
    _, score, _, is_data = sample()
    blind = Blind(0.5)
    opened = blind.open("approved  by\nthe collaboration")
    assert opened.is_open
    assert not blind.is_open
    assert opened.visible(score, is_data).all()
    assert not blind.visible(score, is_data).all()
    (line,) = opened.log
    assert line.endswith("UTC: recorded events opened (score > 0.5): approved by the collaboration")
    for reason in ("", "  ", None):
        with pytest.raises(ValueError, match="say why"):
            blind.open(reason)


@pytest.mark.parametrize(
    "rule", ["mass > 3", "score", "score > high", True, None, float("nan"), [0.8], "s/b > 0.1"]
)
def test_wrong_rules(rule):
    with pytest.raises(ValueError, match="rule="):
        Blind(rule)


def test_wrong_input():
    _, score, _, is_data = sample()
    with pytest.raises(ValueError, match="is_data must be booleans"):
        Blind(0.5).visible(score, is_data.astype(int))
    with pytest.raises(ValueError, match="is_data must be booleans"):
        Blind(0.5).visible(score, is_data[1:])
    with pytest.raises(ValueError, match="pass is_signal="):
        Blind("s/sqrt(b) > 1").visible(score, is_data)
    with pytest.raises(ValueError, match="finite score"):
        Blind("s/sqrt(b) > 1").visible(score, np.ones(len(score), bool), is_signal=is_data)
    with pytest.raises(ValueError, match="n_bins"):
        Blind(0.5, n_bins=[0, 1])


# --- the display ---------------------------------------------------------------------------------


def test_display_fills_no_blinded_bin():
    _, score, process, is_data = sample()
    options = {"signal": "H", "is_data": is_data, "bins": 10}
    display = ScoreDisplay.from_predictions(score, process, blind=Blind(0.63), **options)
    expected = np.histogram(score[is_data & (score < 0.6)], np.linspace(0, 1, 11))[0]
    assert display.blinded.tolist() == [False] * 6 + [True] * 4
    assert np.array_equal(display.data, expected)
    simulated = np.histogram(score[~is_data], np.linspace(0, 1, 11))[0]
    assert np.array_equal(display.values.sum(axis=0), simulated)
    at_edge = ScoreDisplay.from_predictions(score, process, blind=Blind(0.6), **options)
    assert np.array_equal(at_edge.data, expected)
    assert at_edge.blinded.sum() == 4
    opened = ScoreDisplay.from_predictions(
        score, process, blind=Blind(0.63).open("test"), **options
    )
    assert opened.data.sum() == is_data.sum()
    assert not opened.blinded.any()


@pytest.mark.parametrize("rule", [0.5, "s/sqrt(b) > 3", lambda X, score: score > X])
def test_picture_does_not_depend_on_blinded_events(rule):
    signal, score, process, is_data = sample()
    blind = Blind(rule)
    X = np.full(len(score), 0.6)
    options = {"signal": "H", "blind": blind, "log": False}
    before = ScoreDisplay.from_predictions(score, process, is_data=is_data, X=X, **options)
    keep = blind.visible(score, is_data, is_signal=signal, X=X)
    assert not keep.all()
    after = ScoreDisplay.from_predictions(
        score[keep], process[keep], is_data=is_data[keep], X=X[keep], **options
    )
    assert np.array_equal(before.data, after.data)
    assert np.array_equal(before.values, after.values)
    assert np.array_equal(before.edges, after.edges)
    assert before.ax_.get_ylim() == after.ax_.get_ylim()


def test_recorded_events_need_a_rule(legend_texts):
    _, score, process, is_data = sample()
    with pytest.raises(ValueError, match="need blind="):
        ScoreDisplay.from_predictions(score, process, signal="H", is_data=is_data)
    display = ScoreDisplay.from_predictions(
        score, process, signal="H", is_data=is_data, blind=Blind(0.5)
    )
    assert {"Data", "Blinded"} <= set(legend_texts(display.ax_))
