"""Smooth a falling mass spectrum under a bump with a Gaussian process, and look at the pulls.

python examples/background_gp.py [background.png]

The counts are Poisson: alpha, the noise variance of each bin, is the expected count, of which the
first fit gives a better idea than the counts themselves. The mean function is a power law; the
process carries what it lacks. The window around the bump has weight 0 and is interpolated.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skhep_ml.gaussian_process import GPRegressor

rng = np.random.default_rng(2)
edges = np.linspace(500, 2000, 61)
centre = 0.5 * (edges[1:] + edges[:-1])
x = centre / 13000
background = 0.45 * (1 - x) ** 12 / x ** (3.2 + 0.35 * np.log(x / 0.1))
signal = 260 * np.exp(-0.5 * ((centre - 1100) / 35) ** 2)
counts = rng.poisson(background + signal)
window = (centre > 980) & (centre < 1220)


def power_law(mass, log_height, index):
    return np.exp(log_height - index * np.log(mass[:, 0] / 1000))


X = centre.reshape(-1, 1)
kernel = ConstantKernel(0.1, (1e-4, 10)) * RBF(400, (200, 2000))  # in GeV: wider than a bump
model = GPRegressor(
    kernel,
    mean=power_law,
    mean_start=(np.log(counts[~window].mean()), 4),
    random_state=0,
)
variance = np.maximum(counts, 1)
for _ in range(2):
    model.set_params(alpha=variance).fit(X, counts, sample_weight=~window)
    variance = np.maximum(model.predict(X), 1)
fit, std = model.predict(X, return_std=True)
pull = (counts - fit) / np.sqrt(fit + std**2)

# errors of neighbouring bins go together: the window's excess needs the covariance
inside, cov = model.predict(X[window], return_cov=True)
excess = counts[window].sum() - inside.sum()
error = np.sqrt(inside.sum() + cov.sum())
print("kernel:", model.kernel_, "in units of", round(model.y_scale_, 1))
print("power law index:", round(model.mean_params_[1], 2))
print(f"outside the window: pulls {pull[~window].mean():.2f} +- {pull[~window].std():.2f}")
print(f"in the window: {excess:.0f} +- {error:.0f} events, {signal[window].sum():.0f} put in")

figure, (top, bottom) = plt.subplots(
    2, sharex=True, height_ratios=(3, 1), figsize=(6, 5), layout="constrained"
)
top.errorbar(centre, counts, np.sqrt(counts), fmt=".", color="black", label="data")
top.plot(centre, fit, color="#3f90da", label="Gaussian process")
top.fill_between(centre, fit - std, fit + std, color="#3f90da", alpha=0.3)
top.plot(centre, background, "--", color="#bd1f01", label="truth")
top.axvspan(980, 1220, color="0.9", label="not fitted")
top.set(yscale="log", ylabel="events / 25 GeV")
top.legend(frameon=False)
bottom.axvspan(980, 1220, color="0.9")
bottom.bar(centre, pull, width=25, color=np.where(window, "#bd1f01", "#3f90da"))
bottom.axhline(0, color="black", linewidth=0.8)
bottom.set(xlabel="mass [GeV]", ylabel="pull")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "background.png", dpi=120)
