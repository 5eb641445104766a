"""Events from files: all of them, or a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sklearn.utils import Bunch

from skhep_ml.io._plan import READ_STEP, Plan, make_plan
from skhep_ml.io._source import check_step


class EventStream:
    """Chunks of events, read again from the files in every loop; made by `iterate_events`.

    Iteration yields Bunches as `read_events` returns them. Looped over twice, it reads the files
    twice, as `skhep_ml.ensemble.BDTClassifier.fit_iter` does.
    """

    def __init__(self, plan: Plan, step_size: int | str) -> None:
        self._plan = plan
        self._step_size = step_size

    def __iter__(self) -> Iterator[Bunch]:
        for block in self._plan.blocks(self._step_size):
            yield self._plan.bunch([block], fixed=True)

    def __repr__(self) -> str:
        n_files = sum(len(process.files) for process in self._plan.processes)
        return f"EventStream({n_files} files, step_size={self._step_size!r})"


def read_events(
    files: Any = None,
    tree: str | None = None,
    features: Any = None,
    *,
    label: Any = None,
    weight: str | Sequence[str] | None = None,
    event_number: str | Sequence[str] | None = None,
    selection: str | None = None,
    processes: Mapping[str, Mapping[str, Any]] | None = None,
    luminosity: float | None = None,
    max_events: int | None = None,
    max_particles: int | Mapping[str, int] | None = None,
    library: str = "pandas",
    verbose: int = 0,
) -> Bunch:
    """Read events from ROOT, Parquet, HDF5, CSV or NumPy files.

    Only the branches that are needed are read. Wherever a branch is named, an expression may stand:
    arithmetic, comparisons, ``& | ~``, functions such as ``sqrt``, ``where``, ``delta_phi``, and
    over the particles of a jagged branch ``sum``, ``max``, ``count`` and others; ``Jet_pt[:, 0]``
    is the first particle, NaN where there is none, and ``Jet_pt[Jet_pt > 30]`` those that pass.

    Parameters
    ----------
    files : path or list of paths, default=None
        Files, or globs of them, all read alike; addresses with ``://`` are opened through fsspec
        or XRootD where these are installed. The end of the name tells the format: ``.root``
        (TTree, RNTuple), ``.parquet``, ``.h5``, ``.csv``, ``.npz``, ``.npy``.
    tree : str, default=None
        Tree of a ROOT file, or group or compound data set of an HDF5 file. None takes the only
        tree, or all data sets by their paths.
    features : list of str, mapping of str to str, or mapping of str to lists
        Columns of the data: branches or expressions, or a mapping of names to them. Jagged ones
        alone make a cloud. Lists (or mappings) as values make several named inputs, as in
        ``{"event": ["MET_pt"], "jets": ["Jet_pt", "Jet_eta"]}``.
    label : str, int or float, default=None
        Expression for the target, or one value for all events.
    weight : str or list of str, default=None
        Expression for the event weight, or several to multiply. None stands for 1.
    event_number : str or list of str, default=None
        Branches that identify an event, integers, such as ``["run", "luminosityBlock", "event"]``.
    selection : str, default=None
        Condition on the events.
    processes : mapping of str to dict, default=None
        Several processes in one call, instead of ``files``. Each is a dict with ``files``, and as
        needed ``tree``, ``label``, ``weight``, ``selection`` (in place of the argument of that
        name), ``scale`` (a factor on the weights), ``cross_section`` and ``sum_weights``.
    luminosity : float, default=None
        Integrated luminosity, in the inverse of the unit of the cross sections. The weights of a
        process with ``cross_section`` are scaled by luminosity x cross section / sum of generated
        weights; that sum is ``sum_weights``, a number or a (tree, branch) of the files to add up,
        or else the sum of the weights of all events before the selection.
    max_events : int, default=None
        Events to look at, of each process, before the selection.
    max_particles : int or mapping of str to int, default=None
        Length of clouds, or of the cloud of each input; None takes the largest number of particles.
    library : {"pandas", "numpy", "awkward"}, default="pandas"
        What ``data`` is: a DataFrame whose columns keep their types, a float32 array, or an
        awkward array of records (jagged columns as they are). Clouds are float32 arrays under the
        first two.
    verbose : int, default=0
        Above 0: a progress bar over the files.

    Returns
    -------
    Bunch
        data : DataFrame, array of shape (n_events, n_features), cloud, awkward array, or Events
            What ``features`` asks for; a cloud has shape (n_events, n_particles, n_features) and is
            made by `skhep_ml.preprocessing.JaggedToPadded`, the particles of the largest pt first.
        target : array of shape (n_events,), or None
            What ``label`` gives; conditions become 0 and 1.
        weight : float64 array of shape (n_events,)
            Event weights, scaled.
        event_number : int64 or uint64 array of shape (n_events,) or (n_events, k), or None
            Event identifiers.
        process : str array of shape (n_events,), or None
            Name of the process.
        feature_names : list of str, or dict of them
            Names of the columns, by input where there are several.
        class_yields : dict
            Sum of the weights by label, where there are labels.
        luminosity : float
            As given.

    Raises
    ------
    ValueError
        An unknown tree or branch (the message names the nearest), a wrong expression, events of
        which none passes, weights that are all zero or not finite, identifiers that are not
        integers.
    OSError
        A file that is missing, or cannot be read: the message tells which one and, where it is
        known, the first entry lost.

    See Also
    --------
    iterate_events : The same in chunks, with bounded memory.
    write_scores : Predictions back into files.

    Notes
    -----
    Integers shorter than 64 bits and booleans become int64 in arithmetic, so that ``nJet - 5`` does
    not wrap around. The maximum of no particles is NaN. With ``max_events`` the sum of generated
    weights is that of the events looked at, unless ``sum_weights`` is given.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from skhep_ml.io import read_events
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "events.npz"
    ...     np.savez(path, px=[3.0, 6.0, 1.0], py=[4.0, 8.0, 1.0], event=[7, 8, 9])
    ...     events = read_events(
    ...         path, features={"pt": "sqrt(px**2 + py**2)"}, event_number="event",
    ...         selection="px > 2", library="numpy",
    ...     )
    >>> events.data[:, 0].tolist(), events.event_number.tolist()
    ([5.0, 10.0], [7, 8])
    """
    plan = make_plan(
        files,
        tree,
        features,
        label=label,
        weight=weight,
        event_number=event_number,
        selection=selection,
        processes=processes,
        luminosity=luminosity,
        max_events=max_events,
        max_particles=max_particles,
        library=library,
        verbose=verbose,
    )
    plan.check_names(plan.processes[1:])  # reading starts with that of the first
    return plan.bunch(list(plan.blocks(READ_STEP)))


def iterate_events(
    files: Any = None,
    tree: str | None = None,
    features: Any = None,
    *,
    step_size: int | str = "100 MB",
    label: Any = None,
    weight: str | Sequence[str] | None = None,
    event_number: str | Sequence[str] | None = None,
    selection: str | None = None,
    processes: Mapping[str, Mapping[str, Any]] | None = None,
    luminosity: float | None = None,
    max_events: int | None = None,
    max_particles: int | Mapping[str, int] | None = None,
    library: str = "pandas",
    verbose: int = 0,
) -> EventStream:
    """Read events in chunks, so that memory stays bounded.

    Joined, the chunks are what `read_events` returns. Chunks do not reach over the end of a file,
    and one of which no event passes the selection is left out.

    Parameters
    ----------
    files : path or list of paths, default=None
        See `read_events`, as for the other arguments.
    tree : str, default=None
        Tree, group or data set.
    features : list of str, mapping of str to str, or mapping of str to lists
        Columns of the data.
    step_size : int or str, default="100 MB"
        Events to read at a time, before the selection, or the memory that the branches read may
        take (B, kB, MB, GB, KiB, MiB, GiB). Copies made on the way come on top.
    label : str, int or float, default=None
        Expression for the target, or one value for all events.
    weight : str or list of str, default=None
        Expressions for the event weight.
    event_number : str or list of str, default=None
        Branches that identify an event.
    selection : str, default=None
        Condition on the events.
    processes : mapping of str to dict, default=None
        Several processes, instead of ``files``.
    luminosity : float, default=None
        Integrated luminosity.
    max_events : int, default=None
        Events to look at, of each process.
    max_particles : int or mapping of str to int, default=None
        Length of clouds; needed where there are some.
    library : {"pandas", "numpy", "awkward"}, default="pandas"
        What ``data`` is.
    verbose : int, default=0
        Above 0: a progress bar over the files.

    Returns
    -------
    EventStream
        An iterable of Bunches that can be looped over more than once.

    Raises
    ------
    ValueError
        As `read_events`; what is wrong with all events together, at the end of the loop.
    OSError
        A file that is missing, at once, or that cannot be read, when its turn comes.

    See Also
    --------
    read_events : All events at once.

    Notes
    -----
    Where weights are scaled by a cross section and ``sum_weights`` is not given, the weights of a
    process are read once more, before its first chunk. An ``.npz`` file is read as a whole.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from skhep_ml.io import iterate_events
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "events.npz"
    ...     np.savez(path, pt=np.arange(5.0))
    ...     chunks = iterate_events(path, features=["pt"], step_size=2)
    ...     [len(chunk.data) for chunk in chunks]
    [2, 2, 1]
    """
    check_step(step_size)
    plan = make_plan(
        files,
        tree,
        features,
        label=label,
        weight=weight,
        event_number=event_number,
        selection=selection,
        processes=processes,
        luminosity=luminosity,
        max_events=max_events,
        max_particles=max_particles,
        library=library,
        verbose=verbose,
    )
    plan.check_names(plan.processes)
    return EventStream(plan, step_size)
