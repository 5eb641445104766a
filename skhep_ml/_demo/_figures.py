"""The pictures that the demo adds to its report."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhep_ml._demo._closure import MIN_EVENTS, POLICIES, SCORE_EDGES, TRUTH, signed_difference
from skhep_ml._demo._sample import Sample
from skhep_ml.plotting._style import COLORS, hep_axes, ticks_inside
from skhep_ml.report._figures import canvas


def policy_losses(rows: Mapping[str, Any]) -> Any:
    """What each policy costs against training on the unsigned truth."""
    axes = canvas(6.6, 3.1, ncols=2, sharey=True)
    place = np.arange(len(POLICIES))
    panels = (("auc_lost", "AUC lost"), ("loss_gained", "Log loss gained"))
    for ax, (key, label) in zip(axes, panels, strict=True):
        with hep_axes(ax):
            for k, policy in enumerate(POLICIES):
                found = rows[policy][key]
                ax.errorbar(
                    found["value"], k, xerr=found["std"], fmt="o", color=COLORS[k], capsize=3
                )
            ax.axvline(0, color="0.3", lw=0.8, ls="--")
            ax.set(xlabel=label, yticks=place, yticklabels=POLICIES)
            ax.set_ylim(len(POLICIES) - 0.5, -0.5)
            ticks_inside(ax, minor=False)
    return axes[0].figure


def policy_shares(rows: Mapping[str, Any]) -> Any:
    """Background by number of jets under each policy, over the unsigned truth."""
    ax = canvas(6.6, 4.0)
    share = {name: [part["value"] for part in row["shares"]] for name, row in rows.items()}
    truth = np.array(share[TRUTH])
    # under "keep" the training weights are the signed weights themselves
    error = np.array([part["std"] for part in rows["keep"]["shares"]]) / truth
    with hep_axes(ax):
        place = np.arange(len(truth))
        ax.bar(place, 2 * error, 0.7, bottom=1 - error, color="0.88", label="stat. error")
        ax.axhline(1, color="0.3", lw=0.8, ls="--")
        for k, policy in enumerate(POLICIES):
            ratio = np.array(share[policy]) / truth
            ax.plot(place + 0.14 * (k - 1.5), ratio, "osD^"[k], color=COLORS[k], label=policy, ms=7)
        ax.set(
            xlabel="Number of jets",
            ylabel="Background share, policy / truth",
            xticks=place,
            xticklabels=["0", "1", "2", "3 or more"],
            yscale="log",
        )
        ticks = [tick for tick in (0.25, 0.5, 1, 2, 4, 8) if _within(tick, ax.get_ylim())]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.yaxis.set_minor_formatter(lambda *_: "")
        ticks_inside(ax, minor=False)
        ax.legend(ncols=2)
    return ax.figure


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def signed_against_truth(sample: Sample, scores: NDArray[np.float64]) -> Any:
    """Background score with signed and with unsigned weights, and their difference in errors."""
    edges = SCORE_EDGES
    found = {key: values[:-1] for key, values in signed_difference(scores, sample, edges).items()}
    centres = (edges[1:] + edges[:-1]) / 2
    upper, lower = canvas(6.6, 5.2, nrows=2, sharex=True, height_ratios=[3, 1.2])
    with hep_axes(upper):
        upper.stairs(found["truth"], edges, color=COLORS[4], fill=True, label="Unsigned truth")
        upper.errorbar(
            centres,
            found["signed"],
            found["error"],
            fmt="o",
            ms=4,
            color="black",
            label="Signed weights",
        )
        upper.set(yscale="log", ylabel="Background events / 0.05")
        ticks_inside(upper)
        upper.legend()
        used = (found["events"] >= MIN_EVENTS) & (found["error"] > 0)
        difference = found["signed"] - found["truth"]
        pull = np.divide(difference, found["error"], out=np.zeros(len(centres)), where=used)
        lower.axhspan(-1, 1, color="0.88")
        lower.axhline(0, color="0.3", lw=0.8)
        lower.plot(centres[used], pull[used], "o", color="black", ms=4)
        reach = max(3.0, np.abs(pull).max() * 1.15)
        lower.set(
            xlabel="BDT score", ylabel="Difference / error", ylim=(-reach, reach), xlim=(0, 1)
        )
        ticks_inside(lower)
    return upper.figure
