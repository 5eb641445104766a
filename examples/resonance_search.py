"""Search for a resonance without labels: mass spectrum before and after a cut on what was learned.

Run it with a path to save the picture there: ``python resonance_search.py search.png``.
"""

import sys

from matplotlib import pyplot

from skhep_ml.anomaly import CWoLaClassifier, bump_hunt
from skhep_ml.datasets import make_resonance_search
from skhep_ml.metrics import max_significance_improvement
from skhep_ml.plotting import BumpHuntDisplay, SignificanceImprovementDisplay

# data: a falling spectrum with a few events of a resonance, which only the last lines look at
events = make_resonance_search(80_000, signal_fraction=0.003, as_frame=True, random_state=0)
data, event, mass = events.data, events.event_number, events.data["m_jj"]
low, high = region = events.signal_region

# signal region against sidebands, by models that never saw the event they judge
search = CWoLaClassifier(region, mass="m_jj", n_members=3, random_state=0)
score = search.fit(data, groups=event).decision_function(data, groups=event)

hunt = bump_hunt(mass, score, signal_region=region, efficiency=0.005)
for name, spectrum in (("all events", hunt.before), ("best 0.5%", hunt.after)):
    print(
        f"{name}: {spectrum.observed:.0f} observed, {spectrum.expected:.1f} ± "
        f"{spectrum.expected_std:.1f} expected, local significance {spectrum.significance:.1f}"
    )
print(
    f"sidebands after the cut: p = {hunt.after.pvalue:.2f} of the fit; spectra that pass and fail "
    f"agree with p = {hunt.ks.pvalue:.2f}"
)

# with data alone the same must find nothing where there is nothing: a window beside the signal
beside = (4000.0, 4400.0)
control = CWoLaClassifier(beside, mass="m_jj", n_members=3, random_state=0)
nothing = control.fit(data, groups=event).decision_function(data, groups=event)
empty = bump_hunt(mass, nothing, signal_region=beside, efficiency=0.005).after
print(f"window {beside}: local significance {empty.significance:.1f}")

# the truth, which a search does not have
inside = mass.between(low, high).to_numpy()
truth = events.target[inside]
scores = {"Likelihood ratio": events.log_likelihood_ratio[inside], "CWoLa": score[inside]}
for name, one in scores.items():
    best = max_significance_improvement(truth, one)
    print(f"{name}: maximum significance improvement {best.value:.1f} ± {best.std:.1f}")

figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
BumpHuntDisplay.from_result(hunt, variable_name="Dijet mass (GeV)", name="CWoLa", ax=left)
SignificanceImprovementDisplay.from_scores(truth, scores, ratio=False, ax=right)
if len(sys.argv) > 1:
    figure.savefig(sys.argv[1], dpi=120)
