"""Result of the evaluation of systematic variations: numbers, templates, findings, tables."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhep_ml._extras import import_extra
from skhep_ml._format import with_error
from skhep_ml._text_table import html_table, text_table
from skhep_ml.inspection._pyhf import pyhf_channel, pyhf_workspace
from skhep_ml.inspection._templates import relative_shift

Array = NDArray[np.float64]


class Matching(NamedTuple):
    """How the events of one side of a variation correspond to the nominal ones.

    Attributes
    ----------
    n_matched : int
        Events in both samples, before the selection.
    n_only_nominal, n_only_varied : int
        Events without a partner.
    n_leaving, n_entering : int
        Matched events that only the nominal, or only the varied sample selects.
    nominal_processes : list of str
        Processes that a sample of its own does not hold: they stay as they are.
    """

    n_matched: int
    n_only_nominal: int
    n_only_varied: int
    n_leaving: int
    n_entering: int
    nominal_processes: list[str]


class VariedSide(NamedTuple):
    """One side of a variation.

    Attributes
    ----------
    values, sumw2 : ndarray of shape (n_processes, n_bins)
        Template, and its variance.
    shift_sumw2 : ndarray of shape (n_processes, n_bins)
        Variance of the difference from the nominal template: what both share does not fluctuate.
    numbers : dict of str to float
        ``"signal"``, ``"background"``, ``"AUC"``, ``"rejection at 50%"``, ..., ``"significance"``.
    changes, changes_std : dict of str to float
        Their differences from the nominal ones, and the statistical errors of these.
    relative : dict of str to (float, float)
        Relative changes of ``"signal"`` and ``"background"``, and their statistical errors.
    matching : Matching
        Partners and migrations.
    """

    values: Array
    sumw2: Array
    shift_sumw2: Array
    numbers: dict[str, float]
    changes: dict[str, float]
    changes_std: dict[str, float]
    relative: dict[str, tuple[float, float]]
    matching: Matching


class Variation(NamedTuple):
    """A systematic variation.

    Attributes
    ----------
    up : VariedSide
        The first, or only side.
    down : VariedSide or None
        The second side; None for a one-sided variation.
    kind : {"two-sided", "one-sided", "symmetrised"}
        Where ``down`` comes from.
    correlation : ndarray of shape (n_processes, n_bins)
        Correlation of the statistical errors of the up and the down shift; NaN where one of them
        has none, and for one-sided variations.
    direction : float
        Correlation of the shapes: sum of the products of up and down shifts over all processes and
        bins, normalised; -1 for shifts that mirror each other, 1 for shifts to the same side.
    """

    up: VariedSide
    down: VariedSide | None
    kind: str
    correlation: Array
    direction: float

    def sides(self) -> dict[str, VariedSide]:
        """The sides there are, by name."""
        return {"up": self.up} if self.down is None else {"up": self.up, "down": self.down}


@dataclass(frozen=True, repr=False, eq=False)
class SystematicsResult:
    """Result of `evaluate_systematics`.

    Attributes
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Edges of the bins of the score.
    processes : list of str
        Names of the processes.
    signal : ndarray of shape (n_processes,)
        Whether a process is signal.
    values, sumw2 : ndarray of shape (n_processes, n_bins)
        Nominal template, and its variance sum w^2.
    numbers, numbers_std : dict of str to float
        Nominal yields, AUC, rejections and significance, and their statistical errors.
    variations : dict of str to Variation
        The variations.
    findings : list of str
        Sentences on what needs attention, if anything.

    See Also
    --------
    evaluate_systematics : Makes it.
    skhep_ml.plotting.SystematicsDisplay : Picture of the variations.
    """

    edges: Array
    processes: list[str]
    signal: NDArray[np.bool_]
    values: Array
    sumw2: Array
    numbers: dict[str, float]
    numbers_std: dict[str, float]
    variations: dict[str, Variation]
    findings: list[str]

    def to_pandas(self) -> Any:
        """Return the numbers as a table.

        Returns
        -------
        DataFrame
            One row a side of a variation, and the row ("nominal", ""). For each number the columns
            ``name``, ``name change``, ``name change error`` (``name error`` in the nominal row's
            column of that name), then counts of partners and migrations.

        Raises
        ------
        ModuleNotFoundError
            pandas is not installed.
        """
        pandas = import_extra("pandas", "root")
        rows: dict[tuple[str, str], dict[str, Any]] = {("nominal", ""): {}}
        for name, value in self.numbers.items():
            rows["nominal", ""] |= {name: value, f"{name} error": self.numbers_std[name]}
        for variation, sides in self.variations.items():
            for which, side in sides.sides().items():
                row: dict[str, Any] = {}
                for name, value in side.numbers.items():
                    row[name] = value
                    row[f"{name} change"] = side.changes[name]
                    row[f"{name} change error"] = side.changes_std[name]
                counts = side.matching._asdict()
                counts.pop("nominal_processes")
                rows[variation, which] = {**row, **counts}
        columns = [
            f"{name}{what}"
            for name in self.numbers
            for what in ("", " error", " change", " change error")
        ]
        columns += [name for name in Matching._fields if name != "nominal_processes"]
        index = pandas.MultiIndex.from_tuples(list(rows), names=["variation", "side"])
        return pandas.DataFrame(list(rows.values()), index=index, columns=columns)

    def to_pyhf(
        self, *, data: ArrayLike | str | None = None, channel: str = "score", poi: str = "mu"
    ) -> dict[str, Any]:
        """Return the templates as a specification for pyhf or cabinetry.

        Parameters
        ----------
        data : array-like of shape (n_bins,) or "asimov", default=None
            Observed counts, or the nominal expectation: the result is then a workspace, for
            ``pyhf.Workspace`` and cabinetry. None gives the model alone, for ``pyhf.Model``.
        channel : str, default="score"
            Name of the channel.
        poi : str, default="mu"
            Name of the free factor on all signal processes.

        Returns
        -------
        dict
            Plain Python numbers and strings. A variation of a process is split into its
            normalisation (``normsys``) and the rest (``histosys``), which share one parameter; the
            low side of a one-sided variation is the nominal template. ``staterror`` holds
            sqrt(sum w^2).

        Raises
        ------
        ValueError
            A bin without a positive expectation, which no likelihood can have, wrong ``data``, or
            a variation with the name of the factor.
        """
        expected = self.values.sum(axis=0)
        if not np.all(expected > 0):
            bins = np.flatnonzero(~(expected > 0)).tolist()
            msg = (
                f"bins {bins} expect {expected[bins].tolist()} events: a likelihood needs a "
                "positive number in every bin; use wider bins"
            )
            raise ValueError(msg)
        if poi in self.variations:
            msg = f"poi={poi!r} is also the name of a variation: choose another"
            raise ValueError(msg)
        templates = {
            name: (one.up.values, self.values if one.down is None else one.down.values)
            for name, one in self.variations.items()
        }
        content = pyhf_channel(
            channel, self.processes, self.signal, self.values, self.sumw2, templates, poi
        )
        return {"channels": [content]} if data is None else pyhf_workspace(content, data, poi)

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the relative variations.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a figure.
        **kwargs : dict
            Passed on to `skhep_ml.plotting.SystematicsDisplay.from_result`.

        Returns
        -------
        SystematicsDisplay
            The display, drawn.
        """
        from skhep_ml.plotting import SystematicsDisplay

        return SystematicsDisplay.from_result(self, ax=ax, **kwargs)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and cells."""
        names = list(self.numbers)
        nominal = [with_error(self.numbers[name], self.numbers_std[name]) for name in names]
        rows = [["nominal", *nominal, ""]]
        for variation, sides in self.variations.items():
            for which, side in sides.sides().items():
                cells = [self._change(name, side) for name in names]
                lost = side.matching.n_only_nominal + side.matching.n_only_varied
                what = variation if sides.down is None else f"{variation} {which}"
                rows.append([what, *cells, f"{lost:,}"])
        return ["", *names, "unmatched"], rows

    def _change(self, name: str, side: VariedSide) -> str:
        change, std = side.changes[name], side.changes_std[name]
        if change == 0 and not std > 0:
            return "0"
        if name not in side.relative:
            return with_error(change, std, sign=True)
        relative = (100 * one for one in side.relative[name])
        return f"({with_error(*relative, sign=True)})%"

    def __repr__(self) -> str:
        """Text for the terminal."""
        lines = [
            f"SystematicsResult: {len(self.variations)} variations, {len(self.processes)} "
            f"processes, {len(self.edges) - 1} bins; changes from nominal",
            text_table(*self._table()),
        ]
        return "\n".join([*lines, *(f"- {finding}" for finding in self.findings)])

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        items = "".join(f"<li>{html.escape(finding)}</li>" for finding in self.findings)
        return html_table(*self._table()) + (f"<ul>{items}</ul>" if items else "")


def findings_of(result: SystematicsResult) -> list[str]:
    """Sentences on what needs attention."""
    found = []
    for k, process in enumerate(result.processes):
        bins = np.flatnonzero(result.values[k] < 0).tolist()
        if bins:
            found.append(f"{process} is negative in bins {bins}: use wider bins")
    for name, variation in result.variations.items():
        for which, side in variation.sides().items():
            if which == "down" and variation.kind == "symmetrised":
                continue
            what = name if variation.down is None else f"{name} {which}"
            found += _matching_findings(what, side.matching)
        found += _shift_findings(name, variation, result)
    return found


def _matching_findings(what: str, matching: Matching) -> list[str]:
    found = []
    lost, new = matching.n_only_nominal, matching.n_only_varied
    if lost or new:
        all_events = matching.n_matched + lost + new
        found.append(
            f"{what}: {lost:,} nominal events have no partner and {new:,} varied ones have none "
            f"({100 * (lost + new) / all_events:.3g}% together); they fluctuate independently"
        )
    if matching.nominal_processes:
        found.append(f"{what} holds no {', '.join(matching.nominal_processes)}: kept nominal")
    return found


def _shift_findings(name: str, variation: Variation, result: SystematicsResult) -> list[str]:
    shifts = {which: side.values - result.values for which, side in variation.sides().items()}
    if not any(shift.any() for shift in shifts.values()):
        return [f"{name} changes nothing"]
    pulls = []
    for side in variation.sides().values():
        relative, error = relative_shift(
            side.values, result.values, side.sumw2, result.sumw2, side.shift_sumw2
        )
        # what is known without error moves for certain, however little
        certain = np.where(relative > 0, np.inf, np.where(relative < 0, -np.inf, 0.0))
        pulls.append(np.divide(relative, error, out=certain, where=error > 0))
    if max(np.abs(pull).max() for pull in pulls) < 2:
        return [f"{name}: no bin of any process moves by two statistical errors"]
    found = []
    if variation.kind == "two-sided":
        same = (np.minimum(*pulls) > 2) | (np.maximum(*pulls) < -2)
        for k in np.flatnonzero(same.any(axis=1)):
            bins = np.flatnonzero(same[k]).tolist()
            found.append(f"{name}: up and down move {result.processes[k]} alike in bins {bins}")
    return found
