"""Three-body decays: inside the boundary, uniform signal, efficiency that depends on the place."""

import numpy as np
import pytest

from skhep_ml.datasets import make_dalitz
from skhep_ml.datasets._dalitz import MOTHER, A, B, C, dalitz_limits, softest_share


def decay_in_two_steps(m2_ab, cosine):
    """Four-momenta of a, b, c: the pair (ab) decays at an angle to its line of flight."""

    def momentum(total, one, two):
        return np.sqrt((total**2 - (one + two) ** 2) * (total**2 - (one - two) ** 2)) / (2 * total)

    m = np.sqrt(m2_ab)
    inner, outer = momentum(m, A, B), momentum(MOTHER, m, C)
    boost = np.array([np.sqrt(1 + (outer / m) ** 2), outer / m])
    particles = []
    for mass, sign in ((A, -1), (B, 1)):
        energy, along = np.hypot(mass, inner), sign * inner * cosine
        across = sign * inner * np.sqrt(1 - cosine**2)
        particles.append(
            [boost[0] * energy + boost[1] * along, boost[1] * energy + boost[0] * along, across]
        )
    return np.array([*particles, [np.hypot(C, outer), -outer, 0.0]])


def mass2(particle):
    return particle[0] ** 2 - particle[1] ** 2 - particle[2] ** 2


@pytest.mark.parametrize("m2_ab", [0.5, 3.0, 12.0, 26.0])
def test_limits_are_those_of_real_decays(m2_ab):
    # b flies with or against c
    ends = [mass2(one[1] + one[2]) for one in (decay_in_two_steps(m2_ab, c) for c in (1.0, -1.0))]
    low, high = dalitz_limits(m2_ab)
    assert sorted(ends) == pytest.approx([float(low), float(high)], rel=1e-9)
    inside = decay_in_two_steps(m2_ab, 0.3)
    kinetic = inside[:, 0] - [A, B, C]
    share = softest_share(m2_ab, mass2(inside[1] + inside[2]))
    assert share == pytest.approx(3 * kinetic.min() / kinetic.sum(), rel=1e-9)


def test_outside_the_range_there_are_no_limits():
    low, high = dalitz_limits([0.1, 40.0])
    assert np.isnan(low).all()
    assert np.isnan(high).all()


@pytest.fixture(scope="module")
def events():
    return make_dalitz(20_001, random_state=0)


def test_bunch(events):
    assert events.data.shape == (20_001, 8)
    assert events.data.dtype == np.float32
    assert events.feature_names == [*events.train_features, *events.uniform_features]
    assert np.bincount(events.target).tolist() == [10_001, 10_000]
    assert events.class_yields == {0: 10_001.0, 1: 10_000.0}
    assert (events.weight == 1).all()
    assert len(np.unique(events.event_number)) == 20_001
    np.testing.assert_array_equal(events.process == "signal", events.target == 1)
    # shuffled
    assert 0.4 < events.target[:500].mean() < 0.6


def test_events_lie_inside_and_signal_is_uniform(events):
    m2_ab, m2_bc = events.data[:, 6:].astype(float).T
    low, high = dalitz_limits(m2_ab)
    assert np.all((m2_bc > low - 1e-5) & (m2_bc < high + 1e-5))
    # cells of equal area inside the boundary hold equal numbers of signal events
    cells = [(ab, bc) for ab in range(4, 16, 4) for bc in range(4, 16, 4) if ab + bc < 20]
    counts = {
        label: np.array(
            [
                np.sum(
                    (events.target == label)
                    & (m2_ab >= ab)
                    & (m2_ab < ab + 3)
                    & (m2_bc >= bc)
                    & (m2_bc < bc + 3)
                )
                for ab, bc in cells
            ]
        )
        for label in (0, 1)
    }
    ndf = len(cells) - 1
    pull = ((counts[1] - counts[1].mean()) ** 2 / counts[1].mean()).sum()
    assert pull < ndf + 4 * np.sqrt(2 * ndf)
    h = softest_share(m2_ab, m2_bc)
    assert h[events.target == 0].mean() < h[events.target == 1].mean() - 0.05


def test_separation_depends_on_the_place(events):
    column = {name: events.data[:, k].astype(float) for k, name in enumerate(events.feature_names)}
    h = softest_share(column["m2_ab"], column["m2_bc"])
    signal = events.target == 1
    for name, d, c in (("impact_parameter", 1.6, 0.0), ("vertex_quality", 0.6, 1.0)):
        x = column[name]
        assert abs(x[~signal].mean()) < 0.04
        expected = d * (c + (1 - c) * 1.2 * h / (h + 0.2))
        assert abs((x - expected)[signal].mean()) < 0.04
        assert (x - expected)[signal].std() == pytest.approx(1, abs=0.04)
    soft = signal & (h < 0.2)
    assert column["impact_parameter"][soft].mean() < 0.9
    assert column["impact_parameter"][signal & (h > 0.6)].mean() > 1.3


def test_signed_weights_keep_the_yields():
    events = make_dalitz(20_000, negative_fraction=0.2, random_state=1)
    assert np.unique(np.abs(events.weight)) == pytest.approx([1 / 0.6])
    assert (events.weight < 0).mean() == pytest.approx(0.2, abs=0.015)
    for label in (0, 1):
        total = events.weight[events.target == label].sum()
        assert total == pytest.approx(10_000, abs=4 * np.sqrt(10_000) / 0.6)


def test_frame_and_seed():
    pd = pytest.importorskip("pandas")
    one = make_dalitz(100, random_state=3, as_frame=True)
    assert isinstance(one.data, pd.DataFrame)
    assert list(one.data.columns) == one.feature_names
    np.testing.assert_array_equal(one.data.to_numpy(), make_dalitz(100, random_state=3).data)
    assert not np.array_equal(one.data.to_numpy(), make_dalitz(100, random_state=4).data)


@pytest.mark.parametrize("n_events", [1, 10.0, True, None])
def test_wrong_numbers_are_refused(n_events):
    with pytest.raises(ValueError, match="n_events must be an integer of at least 2"):
        make_dalitz(n_events)


@pytest.mark.parametrize("fraction", [-0.1, 0.5, np.nan])
def test_wrong_fractions_are_refused(fraction):
    with pytest.raises(ValueError, match="negative_fraction must lie in"):
        make_dalitz(100, negative_fraction=fraction)
