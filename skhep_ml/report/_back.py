"""The sections on what the models were made from: data, weights, search, settings, versions."""

import contextlib
import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.utils import estimator_html_repr

from skhep_ml import __version__
from skhep_ml._format import number, percent, with_error
from skhep_ml.plotting import FeatureDisplay, ScoreDisplay, SearchDisplay
from skhep_ml.report._blocks import Block, Code, Diagram, Figure, Section, Table
from skhep_ml.report._call import construction
from skhep_ml.report._events import Sample, fingerprint
from skhep_ml.report._figures import canvas, weight_sizes
from skhep_ml.report._models import SEEDS, search_part, settings
from skhep_ml.report._study import Study

PACKAGES = ("numpy", "scipy", "scikit-learn", "xgboost", "torch", "skorch", "matplotlib", "pandas")
#: Trials of a search that are shown, the best first.
N_TRIALS = 30


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version(), "skhep_ml": __version__}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def data_summary(study: Study) -> Section:
    """What is in the sample."""
    from skhep_ml.inspection import describe_events

    sample, X = study.sample, study.inputs()
    if X is None:
        return Section("Data summary", [f"{sample.described()}: {_shape(sample.X)}."])
    try:
        description = describe_events(
            X,
            np.where(sample.signal, "signal", "background") if sample.signal.any() else None,
            sample.weight if sample.weighted else None,
            groups=sample.groups,
            feature_names=None if hasattr(X, "columns") else study.feature_names,
        )
    except (ModuleNotFoundError, ValueError) as error:
        return Section("Data summary", [f"{sample.described()}. No table of features: {error}."])
    blocks: list[Block] = [*description.findings] or ["Nothing stands out."]
    for title, frame in (("Classes", description.classes), ("Features", description.features)):
        rows = [
            [str(name), *(_cell(value) for value in row)]
            for name, row in zip(frame.index, frame.itertuples(index=False), strict=True)
        ]
        blocks.append(
            Table(
                [title.lower(), *(str(column) for column in frame.columns)],
                rows,
                f"{title}: {sample.described()}.",
                folded=len(rows) > 10,
            )
        )
    return Section("Data summary", blocks)


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return number(float(value), 4)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{int(value):,}"
    return str(value)


def weights(study: Study) -> Section:
    """Sizes and sums of the weights by process."""
    sample = study.sample
    classes = bool(sample.signal.any())
    rows = [
        [
            name,
            *(["signal" if row["signal"] else "background"] if classes else []),
            f"{row['events']:,}",
            percent(row["negative_fraction"]),
            with_error(**row["sum"]),
            number(row["effective"]),
            f"{number(row['smallest'], 2)} to {number(row['largest'], 2)}",
        ]
        for name, row in study.numbers["weights"].items()
    ]
    columns = ["process", *(["class"] if classes else []), "events", "negative", "sum"]
    columns += ["effective", "abs(w)"]
    blocks: list[Block] = []
    if sample.weighted:
        blocks.append(
            Figure.from_matplotlib(
                weight_sizes(sample.weight, sample.process, sample.processes(), study.style),
                caption=f"Size of the event weights by process. {sample.described()}; positive "
                "weights upwards, negative ones dashed and downwards.",
                alt="Histograms of the logarithm of abs(w) by process.",
            )
        )
    blocks.append(
        Table(
            columns,
            rows,
            f"{sample.described()}; effective = (sum w)²/sum w².",
            text_columns=(0, 1) if classes else (0,),
        )
    )
    return Section("Event weights", blocks)


def search(study: Study) -> Section | None:
    """What the searches inside the models tried."""
    found = search_section(study.numbers["search"])
    if found is None:
        return None
    for one in study.models:
        fitted = search_part(one.model)
        if fitted is not None:
            which = " of the first fold" if one.n_folds else ""
            found.blocks += search_figures(fitted, f"{one.name}{which}", study.style)
    return found


def search_figures(fitted: Any, name: str, style: str | None = None) -> list[Figure]:
    """Convergence of a search, and how its score depends on what was searched."""
    figures = []
    kinds: dict[
        Literal["convergence", "importance", "dependence"], tuple[tuple[float, float], str]
    ] = {
        "convergence": ((6.6, 4.2), "Mean score of each trial, and the best so far"),
        "importance": ((6.6, 3.6), "How much the score depends on each hyperparameter"),
        "dependence": ((7.5, 5.2), "Score against each hyperparameter, averaged over the others"),
    }
    for kind, (size, caption) in kinds.items():
        try:
            display = SearchDisplay.from_estimator(
                fitted, kind, ax=canvas(*size, style=style), style=style
            )
        except ValueError:
            # too few trials, or none that differ
            continue
        figures.append(
            Figure.from_matplotlib(
                display.figure_,
                caption=f"{caption}: search of {name}. Bars: error over {fitted.n_splits_} folds.",
                alt=f"{kind.capitalize()} of the search of {name}.",
            )
        )
    return figures


def search_section(tables: Mapping[str, dict[str, Any]], note: str = "") -> Section | None:
    """Settings tried by searches, as `search_table` makes them."""
    blocks: list[Block] = []
    for name, found in tables.items():
        tried, best = found["tried"], found["best"]
        order = sorted(
            range(len(tried)),
            key=lambda k, tried=tried: _rank(tried[k]["mean"]),  # type: ignore[misc]
        )
        order = list(dict.fromkeys([best, *order]))[:N_TRIALS]
        keys = list(dict.fromkeys(key for row in tried for key in row["params"]))
        rows = [
            [
                *(_short(tried[k]["params"].get(key, "")) for key in keys),
                with_error(tried[k]["mean"], tried[k]["std"]),
            ]
            for k in order
        ]
        means = [row["mean"] for row in tried if np.isfinite(row["mean"])]
        by_fold = found.get("by_fold", [])
        which = " of the first fold's search" if by_fold else ""
        text = f"{name}: {found['kind']}, {len(tried)} settings, {found['folds']} folds."
        if means and max(means) - min(means) < tried[best]["std"]:
            text += (
                " All settings agree within the spread over folds, so the search does not prefer "
                "the chosen one significantly."
            )
        blocks += [
            text,
            Table(
                [*(key.rpartition("__")[2] for key in keys), f"mean {found['score']}"],
                rows,
                f"The {len(rows)} best settings of {name}{which}, mean and spread over "
                f"{found['folds']} folds; the chosen one stands out.{note and f' {note}'}",
                emphasis=(0,),
                folded=len(rows) > 12,
            ),
        ]
        if by_fold:
            chosen = [
                [
                    str(k),
                    *(_short(one["params"].get(key, "")) for key in keys),
                    with_error(one["mean"], one["std"]),
                ]
                for k, one in enumerate(by_fold)
            ]
            blocks.append(
                Table(
                    ["fold", *(key.rpartition("__")[2] for key in keys), f"mean {found['score']}"],
                    chosen,
                    f"What the search of each of the {len(by_fold)} models of {name} chose, on "
                    "the events that the model was trained on.",
                )
            )
    return Section("Search", blocks) if blocks else None


def _rank(mean: float) -> float:
    return -mean if np.isfinite(mean) else np.inf


def _short(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.4g}"
    text = value if isinstance(value, str) else construction(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def recorded_numbers(study: Study) -> dict[str, Any] | None:
    """Recorded events that may be looked at, and how many of them simulation expects."""
    found = study.recorded
    if found is None:
        return None
    expected = study.expected[found.outside]
    std = np.sqrt(np.sum(expected**2))
    return {
        "rule": str(found.blind),
        "open": found.blind.is_open,
        "events": len(found),
        "expected": {"value": float(expected.sum()), "std": float(std)},
    }


def recorded(study: Study) -> Section | None:
    """Recorded events that may be looked at, against simulation."""
    found, numbers = study.recorded, study.numbers["recorded"]
    if found is None:
        return None
    sample, outside = study.sample, found.outside
    expected = study.expected[outside]
    rows = [
        ["expected", with_error(**numbers["expected"])],
        ["recorded", f"{numbers['events']:,}"],
    ]
    rule = (
        "Nothing is blinded any more, see the log."
        if found.blind.is_open
        else f"Blinded: {found.blind}. Recorded events in that region were removed before anything "
        "was made of them."
    )
    # a callable rule looks at more than the score, so its region leaves the simulation too
    shown = np.ones(len(sample), np.bool_) if found.blind.on_score else outside
    n_shown, n_data = int(shown.sum()), len(found)
    display = ScoreDisplay.from_predictions(
        np.concatenate([study.first.score[shown], found.score]),
        np.concatenate([sample.process[shown], np.full(n_data, "data")]),
        sample_weight=np.concatenate([study.expected[shown], np.ones(n_data)]),
        signal=[name for name in sample.processes() if sample.signal[sample.process == name][0]],
        is_data=np.repeat([False, True], [n_shown, n_data]),
        blind=found.blind if found.blind.on_score else found.blind.open("blinded events are gone"),
        name=study.first.name,
        **study.look(),
    )
    blocks: list[Block] = [
        rule,
        Table(["events outside of what is blinded", "number"], rows, f"{sample.described()}."),
        Figure.from_matplotlib(
            display.figure_,
            caption=f"Expected and recorded events against the score. {study.caption()} Recorded "
            f"events: {n_data:,}; grey: blinded.",
            alt="Stacked histogram of the score with recorded events as points.",
        ),
    ]
    simulated, data = study.table(), study.recorded_table()
    if simulated is not None and data is not None and n_data and outside.any():
        label = np.repeat(["simulation", "data"], [int(outside.sum()), n_data])
        weight = np.concatenate([expected, np.ones(n_data)])
        columns = zip(simulated.names, simulated.columns(), data.columns(), strict=True)
        for name, one, other in columns:
            if str(name) not in study.leading:
                continue
            values = np.concatenate([one[outside], other])
            shape = FeatureDisplay.from_arrays(
                np.where(simulated.absent(values), np.nan, values),
                label,
                sample_weight=weight,
                name=str(name),
                **study.look(),
            )
            blocks.append(
                Figure.from_matplotlib(
                    shape.figure_,
                    caption=f"Shape of {name} in {n_data:,} recorded events and in simulation "
                    f"outside of what is blinded. {sample.described()}.",
                    alt=f"Histograms of {name} in simulation and data, each of unit area.",
                )
            )
    return Section("Recorded events", blocks)


def systematics(result: Any, study: Study) -> Section | None:
    """A systematics study: findings, table and picture."""
    if result is None:
        return None
    columns, rows = result._table()
    caption = "Changes from nominal with the statistical errors of the shifts, same events and "
    caption += "folds in all variations."
    display = result.plot(**study.look(6.6, 5.0))
    return Section(
        "Systematics",
        [
            *result.findings,
            Figure.from_matplotlib(
                display.figure_,
                caption=f"Relative variations of the templates of the score. {caption}",
                alt=f"Relative variations by {', '.join(result.variations)}.",
            ),
            Table(columns, rows, caption),
        ],
    )


def diagrams(study: Study) -> Section:
    """Diagram of every model."""
    blocks: list[Block] = []
    for one in study.models:
        blocks += [
            f"{one.name}:",
            Diagram(
                _numbered(estimator_html_repr(one.model)),
                construction(one.model),
                f"Diagram of {one.name}",
                300,
            ),
        ]
    return Section("Models", blocks)


def _numbered(html: str) -> str:
    """A diagram whose identifiers do not count the diagrams that this process has made."""
    found = dict.fromkeys(re.findall(r"sk-(?:container|estimator)-id-\d+", html))
    new = {name: re.sub(r"\d+$", str(k), name) for k, name in enumerate(found)}
    return re.sub(r"sk-(?:container|estimator)-id-\d+", lambda one: new[one[0]], html)


def back_page(study: Study, cutflow: Sequence[Sequence[Any]] | None, call: str) -> list[Section]:
    """Inputs, hyperparameters, hashes and seeds, cutflow, versions, the call."""
    sections = []
    rows, seeds = [], []
    for one in study.models:
        for key, value in settings(one.model).items():
            rows.append([one.name, key, _short(value)])
            if key.rpartition("__")[2] in SEEDS:
                seeds.append([one.name, key, _short(value)])
    sections.append(
        Section(
            "Hyperparameters",
            [
                Table(
                    ["model", "parameter", "value"],
                    rows,
                    "All parameters of the models, those of the search included.",
                    text_columns=(0, 1, 2),
                    folded=True,
                )
            ],
        )
    )
    if cutflow:
        sections.append(_cutflow(cutflow))
    sample = study.sample
    inputs = [
        ["X", _shape(sample.X), fingerprint(sample.X)],
        ["y", _shape(sample.label), fingerprint(sample.label)],
        ["sample_weight", _shape(sample.weight), fingerprint(sample.weight)]
        if sample.weighted
        else ["sample_weight", "none", ""],
        ["groups", _shape(sample.groups), fingerprint(sample.groups)]
        if sample.groups is not None
        else ["groups", "none", ""],
    ]
    names = [name for name, _ in study.columns()]
    found = versions()
    blocks: list[Block] = [
        Code(call),
        Table(
            ["simulated input", "shape", "sha256"],
            inputs,
            "What the report was made from: first 16 digits of the sha256 of the arrays.",
            text_columns=(0, 1, 2),
        ),
    ]
    if names:
        blocks.append(f"Inputs of the models: {', '.join(names)}.")
    blocks += [
        Table(
            ["model", "split or seed", "value"],
            [*seeds, *_halves(sample)],
            "Seeds, salts and folds. Splits by event number hash the identifiers with splitmix64 "
            "and the salt; each kind of split adds a constant of its own.",
            text_columns=(0, 1, 2),
        ),
        Table(
            ["package", "version"],
            [[name, version] for name, version in found.items()],
            f"Versions, on {platform.system()} {platform.machine()}.",
            text_columns=(0, 1),
        ),
    ]
    sections.append(Section("Reproduce", blocks))
    return sections


def _halves(sample: Sample) -> list[list[str]]:
    """How the report splits the events for its cut; regressors have none."""
    if not sample.signal.any():
        return []
    how = "by turns: no identifiers" if sample.groups is None else "by identifier, salt 0"
    return [["report", "halves", how]]


def _cutflow(cutflow: Sequence[Sequence[Any]]) -> Section:
    rows = []
    for k, (name, value) in enumerate(cutflow):
        before = cutflow[k - 1][1] if k else value
        events = f"{value:,.0f}" if float(value).is_integer() else number(float(value), 6)
        rows.append([str(name), events, percent(value / before) if before else ""])
    return Section(
        "Cutflow",
        [Table(["selection", "events", "of the step before"], rows, "Given to the report.")],
    )


def log_section(lines: Sequence[str]) -> Section | None:
    """What was opened, when and why."""
    if not lines:
        return None
    return Section(
        "Log of openings",
        [
            Table(
                ["opened"],
                [[line] for line in lines],
                "Every opening of recorded or test events for this report, earlier runs included.",
            )
        ],
    )


def _shape(values: Any) -> str:
    if isinstance(values, Mapping):
        return ", ".join(f"{name} {_shape(values[name])}" for name in values)
    kind = getattr(values, "dtype", type(values).__name__)
    shape = getattr(values, "shape", (len(values),))
    return f"{'x'.join(f'{n:,}' for n in shape)} {kind}"
