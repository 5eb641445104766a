"""The sections on the inputs of a model, what it does to other variables, and its training."""

import numpy as np

from skhep_ml._format import with_error
from skhep_ml._frames import take_rows
from skhep_ml.model_selection import fold_learning_curves
from skhep_ml.plotting import (
    CorrelationDisplay,
    FeatureDisplay,
    FlatnessDisplay,
    ImportanceDisplay,
    LearningCurveDisplay,
    SculptingDisplay,
)
from skhep_ml.report._blocks import Block, Figure, Section, Table
from skhep_ml.report._study import Study

#: Up to as many values a variable counts as discrete, and its spectrum is not drawn.
N_DISCRETE = 20
#: Signal efficiencies at which the background's flatness is drawn.
FLAT_EFFICIENCIES = (0.5, 0.2, 0.1)


def importance_blocks(study: Study, what: str) -> list[Block]:
    """Importances of the inputs, as loss of AUC or another score."""
    ranking = study.numbers["ranking"]
    if not ranking:
        return []
    events = study.numbers["settings"]["importance_events"]
    display = ImportanceDisplay.from_importances(
        [row["feature"] for row in ranking],
        [row["value"] for row in ranking],
        [row["std"] for row in ranking],
        **study.look(6.6, 4.9),
    )
    display.ax_.set_xlabel(f"{what} lost when the feature is shuffled")
    return [
        f"{what} lost when a feature's values are dealt to other events. Features that say the "
        "same share their importance, so a low rank does not mean that one is useless.",
        Figure.from_matplotlib(
            display.figure_,
            caption=f"The {min(15, len(ranking))} leading features of {study.first.name} by "
            f"permutation importance on {events:,} events. {study.caption()} Bars: spread of "
            "the mean over shuffles.",
            alt=f"Bars of permutation importance; the first are {', '.join(study.leading[:3])}.",
        ),
        Table(
            ["feature", f"{what} lost"],
            [[row["feature"], with_error(row["value"], row["std"])] for row in ranking],
            f"All features, {events:,} events. {study.caption()}",
            folded=True,
        ),
    ]


def features(study: Study) -> Section | None:
    """Importances, distributions and correlations of the inputs."""
    table = study.table()
    if table is None:
        return None
    names = [str(name) for name in table.names]
    leading = study.leading
    blocks = importance_blocks(study, "AUC")
    sample = study.sample
    for name, values in zip(names, table.columns(), strict=True):
        if name not in leading:
            continue
        finite = np.where(table.absent(values), np.nan, values)
        shape = FeatureDisplay.from_arrays(
            finite,
            sample.signal.astype(int),
            sample_weight=sample.weight,
            name=name,
            **study.look(),
        )
        blocks.append(
            Figure.from_matplotlib(
                shape.figure_,
                caption=f"Shape of {name} in signal and background. {sample.described()}.",
                alt=f"Histograms of {name} for signal and background, each of unit area.",
            )
        )
    if len(names) > 1:
        for kind, chosen in (("signal", sample.signal), ("background", ~sample.signal)):
            part = sample.take(chosen)
            matrix = CorrelationDisplay.from_data(
                take_rows(study.inputs(), np.flatnonzero(chosen)),
                sample_weight=part.weight,
                feature_names=None if hasattr(study.inputs(), "columns") else study.feature_names,
                **study.look(*heat_map_size(len(names)), "compressed"),
            )
            blocks.append(
                Figure.from_matplotlib(
                    matrix.figure_,
                    caption=f"Correlations of the inputs in {kind}, weighted by abs(w). "
                    f"{part.described()}.",
                    alt=f"Matrix of the correlations of {len(names)} inputs in {kind}.",
                )
            )
    return Section("Inputs of the model", blocks)


def heat_map_size(n_features: int) -> tuple[float, float]:
    """Width and height of a matrix of features."""
    side = min(4.6 + 0.1 * n_features, 8.5)
    return side + 0.8, side


def variables(study: Study) -> Section | None:
    """Efficiency of cuts on the score against other variables."""
    if not study.variables:
        return None
    sample = study.sample
    blocks: list[Block] = []
    for name, values in study.variables.items():
        finite = np.isfinite(values)
        discrete = len(np.unique(values[finite])) <= N_DISCRETE
        # without the tails, which would fill most of the axis
        ends = np.quantile(values[finite], np.linspace(0.005, 0.995, 11))
        for kind in (True, False):
            display = FlatnessDisplay.from_predictions(
                sample.signal[finite].astype(int),
                study.first.score[finite],
                values[finite],
                uniform_label=int(kind),
                efficiencies=(0.9, 0.7, 0.5, 0.3) if kind else FLAT_EFFICIENCIES,
                bins=10 if discrete else np.unique(ends),
                sample_weight=sample.weight[finite],
                variable_name=name,
                name=study.first.name,
                **study.look(),
            )
            what = "signal" if kind else "background"
            blocks.append(
                Figure.from_matplotlib(
                    display.figure_,
                    caption=f"Efficiency of {what} against {name} at several cuts on "
                    f"{study.first.name}. {study.caption()}",
                    alt=f"Efficiency of {what} in bins of {name}.",
                )
            )
        if not discrete:
            spectrum = SculptingDisplay.from_predictions(
                sample.signal[finite],
                study.first.score[finite],
                values[finite],
                sample_weight=sample.weight[finite],
                variable_name=name,
                name=study.first.name,
                **study.look(6.6, 5.2),
            )
            blocks.append(
                Figure.from_matplotlib(
                    spectrum.figure_,
                    caption=f"Background in {name} before and after cuts on {study.first.name}. "
                    f"{study.caption()}",
                    alt=f"Spectrum of {name} in background before and after several cuts.",
                )
            )
    return Section("Efficiency against other variables", blocks)


def learning_curves(study: Study) -> Section | None:
    """Training and validation loss of the models that keep them."""
    blocks: list[Block] = []
    for one in study.models:
        try:
            curves = fold_learning_curves(one.model)
        except ValueError:
            # this model keeps none
            continue
        display = LearningCurveDisplay.from_curves(
            curves,
            step_name="Tree" if any(" " in curve for curve in curves) else "Epoch",
            name=one.name,
            **study.look(),
        )
        blocks.append(
            Figure.from_matplotlib(
                display.figure_,
                caption=f"Learning curves of {one.name}, in training; band: spread over the "
                f"{max(one.n_folds, 1)} models.",
                alt=f"Loss of {one.name} against {display.step_name.lower()}s.",
            )
        )
    return Section("Learning curves", blocks) if blocks else None
