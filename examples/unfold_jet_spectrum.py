"""Unfold the transverse momentum and the mass of jets with OmniFold, with errors.

Simulation knows truth and reconstruction of every jet, data have a harder spectrum and heavier
jets. Three features are unfolded at once, without bins; resolution, efficiency and fakes are
corrected for. The truth of the data is known here, and compared with.

Run it with a path to save the picture there: ``python unfold_jet_spectrum.py unfolded.png``.
"""

import sys

import numpy as np
from matplotlib import pyplot

from skhep_ml.datasets import make_unfolding_toy
from skhep_ml.reweighting import OmniFold

jets = make_unfolding_toy(20_000, 20_000, as_frame=True, random_state=0)
unfolding = OmniFold(n_iterations=3, n_bootstrap=8, n_jobs=1, random_state=0)
unfolding.fit(
    jets.truth_sim,
    jets.reco_sim,
    jets.reco_data,
    pass_truth=jets.pass_truth,
    pass_reco=jets.pass_reco,
    sim_groups=jets.event_number,
    data_groups=jets.event_number_data,
)
print(unfolding.summary())

observables = {
    "pt": ("Jet transverse momentum [GeV]", [100, 110, 120, 135, 150, 170, 200, 240, 320]),
    "mass": ("Jet mass [GeV]", [4, 8, 11, 14, 17, 20, 25, 32, 50]),
}
figure, axes = pyplot.subplots(
    2,
    2,
    figsize=(9.5, 5.2),
    height_ratios=[2.5, 1],
    sharex="col",
    layout="constrained",
)
for (name, (label, edges)), (panel, below) in zip(observables.items(), axes.T, strict=True):
    unfolded = unfolding.histogram(jets.truth_sim[name], edges)
    truth = np.histogram(jets.truth_data[name], edges)[0]
    inside = jets.pass_truth
    scale = len(jets.reco_data) / jets.pass_reco.sum()
    simulated = scale * np.histogram(jets.truth_sim[name][inside], edges)[0]
    # the expectation that the data were drawn from: known without fluctuation of the data
    expected = np.histogram(jets.truth_sim[name][inside], edges, weights=jets.weight_truth[inside])[
        0
    ]
    print(f"{name}: unfolded, and true jets of the data")
    for value, error, true in zip(unfolded.counts, unfolded.errors, truth, strict=True):
        print(f"{value:7.0f} ± {error:3.0f} {true:6d}")

    widths, edges = np.diff(edges), np.asarray(edges)
    centres = edges[:-1] + widths / 2
    panel.stairs(simulated / widths, edges, color="#94a4a2", label="Simulation, scaled")
    panel.stairs(truth / widths, edges, color="#3f90da", lw=1.8, label="Truth of the data")
    points = {"xerr": widths / 2, "fmt": "o", "ms": 4, "color": "black"}
    panel.errorbar(
        centres, unfolded.counts / widths, unfolded.errors / widths, label="Unfolded", **points
    )
    panel.set(ylabel="Jets / GeV")
    panel.legend(frameon=False)
    below.axhline(1, color="#3f90da")
    below.stairs(simulated / expected, edges, baseline=None, color="#94a4a2")
    below.errorbar(centres, unfolded.counts / expected, unfolded.errors / expected, **points)
    below.set(xlabel=label, ylabel="To expected", ylim=(0.6, 1.4))
axes[0, 0].set_yscale("log")
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1])
pyplot.close(figure)
