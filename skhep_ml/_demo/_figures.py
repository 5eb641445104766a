"""The pictures of the demo."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from skhep_ml._demo._closure import MIN_EVENTS, POLICIES, SCORE_EDGES, TRUTH, signed_difference
from skhep_ml._demo._numbers import BACKGROUND_UNCERTAINTIES
from skhep_ml._demo._sample import Sample, score
from skhep_ml._extras import import_extra
from skhep_ml.plotting import (
    ConfusionDisplay,
    ImportanceDisplay,
    OvertrainingDisplay,
    RejectionDisplay,
    RocDisplay,
    ScoreDisplay,
    SignificanceDisplay,
)
from skhep_ml.plotting._style import COLORS, hep_axes, ticks_inside

Scores = Mapping[str, NDArray[np.float64]]


def canvas(width: float = 6.6, height: float = 4.7, **subplots: Any) -> Any:
    """Axes on a figure of their own, outside pyplot's list of open figures."""
    matplotlib_figure = import_extra("matplotlib.figure", "plot")
    figure = matplotlib_figure.Figure(figsize=(width, height), layout="constrained")
    with hep_axes(figure):
        return figure.subplots(**subplots)


def curves(sample: Sample, scores: Scores) -> dict[str, Any]:
    """ROC and rejection of all models."""
    figures = {}
    for key, display in (("roc", RocDisplay), ("rejection", RejectionDisplay)):
        ax = canvas()
        for name, values in scores.items():
            display.from_predictions(
                sample.y, values, sample_weight=sample.weight, name=name, ax=ax
            )
        figures[key] = ax.figure
    return figures


def by_process(sample: Sample, scores: NDArray[np.float64]) -> Any:
    """Score stacked by process."""
    signal = [name for name in sample.processes() if sample.y[sample.process == name][0] == 1]
    display = ScoreDisplay.from_predictions(
        scores,
        sample.process,
        sample_weight=sample.weight,
        signal=signal,
        name="BDT",
        ax=canvas(),
    )
    return display.figure_


def train_and_test(model: Pipeline, train: Sample, test: Sample) -> Any:
    """Overtraining check; the display holds the KS results."""
    return OvertrainingDisplay.from_predictions(
        train.y,
        score(model, train),
        test.y,
        score(model, test),
        sample_weight_train=train.weight,
        sample_weight_test=test.weight,
        ax=canvas(),
    )


def significance_scan(
    test: Sample, scores: NDArray[np.float64], class_yields: Mapping[int, float], cut: float
) -> Any:
    """Expected significance against the cut."""
    display = SignificanceDisplay.from_predictions(
        test.y,
        scores,
        sample_weight=test.weight,
        class_yields=class_yields,
        background_uncertainties=BACKGROUND_UNCERTAINTIES,
        cut=cut,
        ax=canvas(),
    )
    return display.figure_


def confusion(test: Sample, scores: NDArray[np.float64], cut: float) -> Any:
    """Confusion matrix of a cut, each true class normalised to 1."""
    names = np.array(["background", "signal"])
    display = ConfusionDisplay.from_predictions(
        names[test.y],
        names[(scores >= cut).astype(int)],
        sample_weight=test.weight,
        labels=names.tolist(),
        normalize="true",
        ax=canvas(4.8, 4.0),
    )
    return display.figure_


def ranking(rows: list[dict[str, Any]], n_shown: int = 15) -> Any:
    """Permutation importances of the leading features."""
    rows = rows[:n_shown]
    display = ImportanceDisplay.from_importances(
        [row["feature"] for row in rows],
        [row["value"] for row in rows],
        [row["std"] for row in rows],
        ax=canvas(6.6, 4.9),
    )
    display.ax_.set_xlabel("AUC lost when the feature is shuffled")
    return display.figure_


def weights(sample: Sample) -> Any:
    """Size of the weights by process: positive ones upwards, negative ones downwards."""
    ax = canvas()
    size = np.log10(np.abs(sample.weight))
    edges = np.linspace(np.floor(size.min() * 2) / 2, np.ceil(size.max() * 2) / 2, 41)
    with hep_axes(ax):
        for name, color in zip(sample.processes(), COLORS, strict=False):
            here = sample.process == name
            positive, negative = here & (sample.weight > 0), here & (sample.weight < 0)
            ax.stairs(
                np.histogram(size[positive], edges)[0], edges, color=color, lw=1.8, label=name
            )
            if negative.any():
                counts = np.histogram(size[negative], edges)[0]
                ax.stairs(-counts, edges, color=color, lw=1.8, ls="--")
        ax.axhline(0, color="0.3", lw=0.8)
        ax.set(xlabel=r"$\log_{10}|w|$", ylabel="Simulated events (w < 0: downwards)")
        ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
        ticks_inside(ax)
        ax.legend(ncols=2)
    return ax.figure


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
