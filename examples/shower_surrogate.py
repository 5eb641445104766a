"""Learn showers of electrons in a small calorimeter, and draw new ones of any energy.

python examples/shower_surrogate.py [showers.png] [n_showers]

Two flows, each a table under conditions. The first makes the energies of the layers from the
incident energy: the response, then for each layer the share of what is left behind it, so that a
resolution of 2% needs no conspiracy of the layers. The second makes the cells from the energies of
the layers, as roots of the number of deposits, whose noise is about the same everywhere; numbers
below 0 are empty cells. More showers take longer, and look more alike.
"""

import sys
import time

import matplotlib.pyplot as plt
import numpy as np

from skhep_ml.datasets import make_showers
from skhep_ml.generative import FlowMatching
from skhep_ml.metrics import frechet_distance, separation_power, two_sample_auc

SHAPE = (8, 5, 5)
SAMPLING = 0.1
DEPOSIT = SAMPLING**2 / 2  # mean deposit in GeV
LEAST = 1e-4  # shares of layers are kept off 0 and 1


def simulate(n, seed):
    return make_showers(
        n, energy=(10.0, 100.0), shape=SHAPE, cell_size=0.75, sampling=SAMPLING, random_state=seed
    )


def layer_table(showers, energy):
    """Incident energy, response, and shares of layers in what is left behind them."""
    layers = showers.sum(axis=(2, 3), dtype=np.float64)
    left = np.cumsum(layers[:, ::-1], axis=1)[:, ::-1]
    shares = layers[:, :-1] / np.maximum(left[:, :-1], 1e-9)
    return np.column_stack([energy, left[:, 0] / energy, np.clip(shares, LEAST, 1 - LEAST)])


def layer_energies(table):
    left = table[:, 0] * table[:, 1]
    layers = []
    for share in table[:, 2:].T:
        share = np.where(share <= 2 * LEAST, 0.0, share)
        layers.append(share * left)
        left = left * (1 - share)
    return np.column_stack([*layers, left])


def conditions(table):
    shares = table[:, 2:]
    return np.column_stack([np.log(table[:, :2]), np.log(shares / (1 - shares))])


def cell_table(table, showers, rng):
    roots = np.sqrt(showers / DEPOSIT).reshape(len(showers), -1)
    empty = roots == 0
    roots[empty] = -rng.uniform(size=np.count_nonzero(empty))
    return np.column_stack([conditions(table), roots]).astype(np.float32)


class Surrogate:
    """Both flows, from energies to showers."""

    def fit(self, showers, energy):
        table = layer_table(showers, energy)
        n_conditions = table.shape[1]
        inside = dict.fromkeys(range(2, n_conditions), (0, 1))
        common = {"lr": 2e-3, "batch_size": 256, "n_steps": 6, "device": "cpu", "random_state": 0}
        self.layers = FlowMatching(
            context_features=[0],
            domains={0: "positive", 1: "positive", **inside},
            hidden=(96, 96, 96),
            max_epochs=18,
            **common,
        ).fit(table)
        self.cells = FlowMatching(
            context_features=list(range(n_conditions)),
            hidden=(192, 192, 192),
            max_epochs=20,
            **common,
        ).fit(cell_table(table, showers, np.random.default_rng(0)))
        return self

    def sample(self, energy, seed=None):
        table = self.layers.sample(context=energy, random_state=seed)
        given = conditions(table)
        roots = self.cells.sample(context=given, random_state=seed)[:, given.shape[1] :]
        cells = np.maximum(roots.astype(np.float64), 0.0).reshape(len(table), *SHAPE) ** 2
        total = np.maximum(cells.sum(axis=(2, 3), keepdims=True), 1e-9)
        return (cells / total * layer_energies(table)[:, :, None, None]).astype(np.float32)


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


n_showers = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
train, test = simulate(n_showers, 0), simulate(min(n_showers, 3000), 1)
surrogate, seconds = timed(Surrogate().fit, train.data, train.energy)
print(f"{n_showers} showers learnt in {seconds:.0f} s")
fake, seconds = timed(surrogate.sample, test.energy, 1)
_, generator = timed(simulate, len(test.data), 2)
print(
    f"{len(fake) / seconds:.0f} showers a second from the surrogate, "
    f"{len(fake) / generator:.0f} from the generator"
)

# the same incident energies in both samples: an event and its double share a fold
energy, number = test.energy, np.arange(len(fake))
tables = [layer_table(showers, energy) for showers in (test.data, fake)]
together = {"groups1": number, "groups2": number, "return_std": True, "n_jobs": 1}
print("AUC of the layers: {:.3f} +- {:.3f}".format(*two_sample_auc(*tables, **together)))
both = [{"image": showers, "energy": energy} for showers in (test.data, fake)]
print(
    "AUC of layers, centres and widths: {:.3f} +- {:.3f}".format(*two_sample_auc(*both, **together))
)
print(
    "Frechet distance of the layers: {:.4f} +- {:.4f}".format(
        *frechet_distance(*tables, return_std=True)
    )
)
response = [table[:, 1] for table in tables]
print(
    "separation power of the response: {:.4f} +- {:.4f}".format(
        *separation_power(*response, return_std=True)
    )
)

# --- the picture ------------------------------------------------------------------------------

BLUE, RED = "#3f90da", "#bd1f01"
points = {"fmt": "o", "markersize": 4, "mfc": "white"}
figure, axes = plt.subplots(2, 2, figsize=(9.5, 7.5), layout="constrained")
(of_response, of_resolution), (along, across) = axes

edges = np.linspace(0.87, 1.03, 33)
middle = (edges[1:] + edges[:-1]) / 2
of_response.hist(response[0], edges, color="0.85", label="generator")
counts, _ = np.histogram(response[1], edges)
of_response.errorbar(middle, counts, np.sqrt(counts), color=RED, label="surrogate", **points)
of_response.set(xlabel="visible / incident energy", ylabel="showers")

energy_edges = np.geomspace(10, 100, 8)
middle = np.sqrt(energy_edges[1:] * energy_edges[:-1])
bins = np.digitize(energy, energy_edges) - 1
for values, color, name in ((response[0], "0.4", "generator"), (response[1], RED, "surrogate")):
    of_bin = [values[bins == b] for b in range(len(middle))]
    width = np.array([part.std() / part.mean() for part in of_bin])
    error = width / np.sqrt([2 * len(part) for part in of_bin])
    of_resolution.errorbar(middle, width, error, color=color, label=name, **points)
fine = np.geomspace(10, 100)
of_resolution.plot(fine, SAMPLING / np.sqrt(fine), "--", color="0.6", label=r"$0.1/\sqrt{E}$")
of_resolution.set(xscale="log", xlabel="incident energy [GeV]", ylabel="resolution", ylim=(0, None))
of_resolution.set_xticks([10, 20, 50, 100], ["10", "20", "50", "100"])
of_resolution.minorticks_off()

for low, high, color in ((10, 20, BLUE), (50, 100, RED)):
    chosen = (energy > low) & (energy < high)
    name = f"{low} to {high} GeV"
    for axis, edges, over in (
        (along, train.layer_edges, (2, 3)),
        (across, train.column_edges, (1, 2)),
    ):
        truth, drawn = (
            (showers[chosen] / energy[chosen, None, None, None]).sum(axis=over)
            for showers in (test.data, fake)
        )
        axis.stairs(truth.mean(axis=0), edges, color=color, label=f"generator, {name}")
        middle, error = (edges[1:] + edges[:-1]) / 2, drawn.std(axis=0) / np.sqrt(len(drawn))
        axis.errorbar(
            middle, drawn.mean(axis=0), error, color=color, label=f"surrogate, {name}", **points
        )
along.set(xlabel="depth [$X_0$]", ylabel="share of the incident energy", ylim=(0, 0.38))
across.set(xlabel="position [Moliere radii]", ylabel="share of the incident energy", yscale="log")
across.set_ylim(4e-3, 1.2)
for axis in axes.flat:
    axis.legend(frameon=False, fontsize=9, loc="lower center" if axis is across else "best")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "showers.png", dpi=120)
