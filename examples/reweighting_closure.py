"""Reweight simulation to data whose density ratio is known, and check the closure.

Every simulated event is weighted by a model that never saw it, found by its event number. The data
here are simulated events as well, accepted with a probability that is the ratio to be learned.

Run it with a path to save the picture there: ``python reweighting_closure.py closure.png``.
"""

import sys

import numpy as np
import pandas as pd
from matplotlib import pyplot

from skhep_ml.plotting import ReweightingDisplay
from skhep_ml.reweighting import GBReweighter, RotatingReweighter, reweighting_report


def simulate(n_events, rng):
    """Transverse momentum, rapidity and number of vertices of a Z boson."""
    pt = rng.gamma(1.8, 12.0, n_events)
    rapidity = rng.normal(0.0, 1.5 / (1 + pt / 150), n_events)
    return pd.DataFrame({"pt": pt, "rapidity": rapidity, "n_vertices": rng.poisson(18, n_events)})


def true_ratio(events):
    """Ratio of data to simulation, up to a factor, at most 1."""
    pull = (events["pt"] - 15) / 30 * (1 - 0.3 * events["rapidity"] ** 2)
    more = (events["n_vertices"] - 22) / 8
    return (0.5 + 0.3 * np.tanh(pull) + 0.2 * np.tanh(more)).to_numpy()


rng = np.random.default_rng(0)
simulation = simulate(60_000, rng)
event_number = np.arange(len(simulation))
weight = rng.choice([1.0, -0.2], len(simulation), p=[0.9, 0.1])  # some events count negative
candidates = simulate(120_000, rng)
accepted = candidates[rng.random(len(candidates)) < true_ratio(candidates)]
data, other_data = accepted[::2], accepted[1::2]

model = RotatingReweighter(GBReweighter(80, n_jobs=1, random_state=0), n_splits=3)
model.fit(simulation, data, original_weight=weight, groups=event_number)
new_weight = model.predict_weights(simulation, weight, groups=event_number)

# data that the model did not see: what is fitted to fluctuations does not pass for agreement
report = reweighting_report(
    model, simulation, other_data, weight, groups=event_number, n_jobs=1, random_state=0
)
print(report)

truth = true_ratio(simulation)
truth = truth * weight.sum() / (weight @ truth)
away = new_weight / weight / truth - 1
print(f"learned over true ratio: mean {1 + away.mean():.3f}, rms deviation {away.std():.3f}")
for name in simulation:
    means = [np.average(simulation[name], weights=w) for w in (weight, new_weight)]
    print(f"mean {name}: {means[0]:.3f}, reweighted {means[1]:.3f}, data {data[name].mean():.3f}")

display = ReweightingDisplay.from_weights(
    new_weight, simulation, other_data, weight, name="Reweighted"
)
if len(sys.argv) > 1:
    display.figure_.savefig(sys.argv[1])
pyplot.close(display.figure_)
