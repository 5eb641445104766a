"""The public file of the Higgs boson machine learning challenge."""

import gzip
import itertools
import math
import os
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skhep_ml.datasets._files import check_missing_values, description, to_frame

NAME = "atlas-higgs-challenge-2014-v2.csv.gz"
URL = f"https://opendata.cern.ch/record/328/files/{NAME}"
# as the CERN Open Data portal lists them for record 328
SIZE = 65_630_848
ADLER32 = 0xE4717BBE

FEATURES = [
    "DER_mass_MMC",
    "DER_mass_transverse_met_lep",
    "DER_mass_vis",
    "DER_pt_h",
    "DER_deltaeta_jet_jet",
    "DER_mass_jet_jet",
    "DER_prodeta_jet_jet",
    "DER_deltar_tau_lep",
    "DER_pt_tot",
    "DER_sum_pt",
    "DER_pt_ratio_lep_tau",
    "DER_met_phi_centrality",
    "DER_lep_eta_centrality",
    "PRI_tau_pt",
    "PRI_tau_eta",
    "PRI_tau_phi",
    "PRI_lep_pt",
    "PRI_lep_eta",
    "PRI_lep_phi",
    "PRI_met",
    "PRI_met_phi",
    "PRI_met_sumet",
    "PRI_jet_num",
    "PRI_jet_leading_pt",
    "PRI_jet_leading_eta",
    "PRI_jet_leading_phi",
    "PRI_jet_subleading_pt",
    "PRI_jet_subleading_eta",
    "PRI_jet_subleading_phi",
    "PRI_jet_all_pt",
]
REQUIRED = ["EventId", *FEATURES, "Weight", "Label"]
SUBSETS = {"train": "t", "public": "b", "private": "v", "unused": "u"}
# types of the columns that are not real numbers; two characters, so that "bg" is not read as "b"
KINDS = {"EventId": "i8", "Label": "U2", "KaggleSet": "U2"}
ABSENT = -999.0


def fetch_higgs_challenge(
    source: str | os.PathLike[str] | None = None,
    *,
    data_home: str | os.PathLike[str] | None = None,
    subset: str = "all",
    missing_values: float = math.nan,
    as_frame: bool = False,
    verbose: int = 0,
) -> Bunch:
    """Read the Higgs boson machine learning challenge, from a file or the CERN Open Data portal.

    818,238 simulated events of the ATLAS experiment with a lepton and a hadronic tau: Higgs decays
    to tau pairs against Z decays to tau pairs, top pairs and W + jets.

    Parameters
    ----------
    source : path, default=None
        A ``.csv`` or ``.csv.gz`` file with the columns of the challenge, in any order: the complete
        file, the training file of the competition, or a part of either. None takes the complete
        file (66 MB) from the cache folder, and downloads it there first where needed.
    data_home : path, default=None
        Cache folder; None takes the environment variable ``SKHEP_ML_DATA``, or else
        ``~/.cache/skhep_ml``.
    subset : {"all", "train", "public", "private", "unused"}, default="all"
        Part by ``KaggleSet``: what the competition gave for training, and used for its public and
        its private ranking. A part takes the column ``KaggleWeight``, which is normalised to the
        full luminosity in each part, as its weights.
    missing_values : float, default=nan
        What replaces -999.
    as_frame : bool, default=False
        Return ``data`` as a pandas DataFrame.
    verbose : int, default=0
        1 shows the progress of a download.

    Returns
    -------
    Bunch
        data : float32 array of shape (n_events, 30), or DataFrame
            The columns ``DER_*`` and ``PRI_*``; GeV and radians.
        target : int array of shape (n_events,)
            1 signal (``s``), 0 background (``b``).
        weight : float64 array of shape (n_events,)
            Expected events in the data of 2012 at 8 TeV.
        event_number : int64 array of shape (n_events,)
            ``EventId``.
        process : str array of shape (n_events,)
            ``signal`` or ``background``: the file does not tell more.
        kaggle_set : str array of shape (n_events,)
            Only where the file has the column ``KaggleSet``.
        feature_names : list of str
            Names of the columns of ``data``.
        class_yields : dict
            Sum of weights by label.
        DESCR : str
            Description of the sample.

    Raises
    ------
    ValueError
        Missing columns, a truncated or damaged file (the message names the line), an empty one, a
        subset that the file does not know, or a download with a wrong checksum.
    FileNotFoundError
        No file at ``source``.
    OSError
        The download failed.

    Notes
    -----
    A download is compared with the size and the Adler-32 checksum that the portal publishes, and
    the cache holds either the complete file or none. Reading the complete file takes several
    seconds.

    References
    ----------
    ATLAS collaboration, Dataset from the ATLAS Higgs Boson Machine Learning Challenge 2014, CERN
    Open Data portal, doi:10.7483/OPENDATA.ATLAS.ZBP2.M5T8.

    Examples
    --------
    >>> from skhep_ml.datasets import fetch_higgs_challenge
    >>> events = fetch_higgs_challenge(subset="train", verbose=1)  # doctest: +SKIP
    >>> events.data.shape  # doctest: +SKIP
    (250000, 30)
    """
    if subset != "all" and subset not in SUBSETS:
        msg = f"subset must be one of {['all', *SUBSETS]}, got {subset!r}"
        raise ValueError(msg)
    missing = check_missing_values(missing_values)
    path = _cached(data_home, verbose) if source is None else Path(source)
    if not path.is_file():
        msg = f"no file at {path}: give the path of a .csv or .csv.gz file, or None to download it"
        raise FileNotFoundError(msg)
    table = _read(path)
    names = table.dtype.names or ()
    weight = "Weight"
    if subset != "all":
        if not {"KaggleSet", "KaggleWeight"} <= set(names):
            msg = (
                f"{path} has no columns KaggleSet and KaggleWeight, which subset={subset!r} needs: "
                "use subset='all', or the complete file of CERN Open Data record 328"
            )
            raise ValueError(msg)
        weight = "KaggleWeight"
        table = table[table["KaggleSet"] == SUBSETS[subset]]
        if not len(table):
            msg = f"{path} holds no event of the subset {subset!r}"
            raise ValueError(msg)
    data = np.empty((len(table), len(FEATURES)), dtype=np.float32)
    for k, name in enumerate(FEATURES):
        data[:, k] = table[name]
    data[data == ABSENT] = missing
    target = (table["Label"] == "s").astype(np.int64)
    weights = np.ascontiguousarray(table[weight])
    bunch = Bunch(
        data=to_frame(data, FEATURES) if as_frame else data,
        target=target,
        weight=weights,
        event_number=np.ascontiguousarray(table["EventId"]),
        process=np.array(["background", "signal"])[target],
        feature_names=list(FEATURES),
        class_yields={k: float(weights[target == k].sum()) for k in (0, 1)},
        DESCR=description("challenge"),
    )
    if "KaggleSet" in names:
        bunch.kaggle_set = np.ascontiguousarray(table["KaggleSet"])
    return bunch


def _open(path: Path) -> IO[str]:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if compressed else path.open(encoding="utf-8")


def _read(path: Path) -> NDArray[Any]:
    """Rows of the file as a structured array."""
    try:
        with _open(path) as file:
            names = _columns(path, file.readline())
            first = file.readline()
            if not first.strip():
                msg = f"{path} has a header but no events"
                raise ValueError(msg)
            dtype = np.dtype([(name, KINDS.get(name, "f8")) for name in names])
            rows = itertools.chain([first], file)
            try:
                table = np.loadtxt(rows, dtype=dtype, delimiter=",", comments=None, ndmin=1)
            except ValueError as error:
                raise ValueError(_first_fault(path, names, str(error))) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        msg = f"{path} is truncated or damaged ({error}): download or copy it again"
        raise ValueError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file: give a .csv or .csv.gz file"
        raise ValueError(msg) from error
    unknown = ~np.isin(table["Label"], ["s", "b"])
    if unknown.any():
        event = int(np.argmax(unknown))
        msg = (
            f"{path}: event {table['EventId'][event]} has the label "
            f"{str(table['Label'][event])!r}, which is neither 's' nor 'b'"
        )
        raise ValueError(msg)
    return table


def _columns(path: Path, header: str) -> list[str]:
    """Names in the header, checked."""
    if not header.strip():
        msg = f"{path} is empty"
        raise ValueError(msg)
    names = [name.strip() for name in header.split(",")]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        msg = (
            f"{path} lacks {len(missing)} of the {len(REQUIRED)} columns that are needed: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
        )
        raise ValueError(msg)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{path} has the columns {twice} more than once"
        raise ValueError(msg)
    return names


def _first_fault(path: Path, names: list[str], reason: str) -> str:
    """Say which line of a file that could not be read is wrong."""
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            fields = line.rstrip("\n").split(",")
            if number == 1 or not line.strip():
                continue
            if len(fields) != len(names):
                return (
                    f"{path}, line {number}: {len(fields)} fields instead of {len(names)}: the "
                    "file is truncated or damaged, download or copy it again"
                )
            for name, field in zip(names, fields, strict=True):
                try:
                    if KINDS.get(name) == "i8":
                        int(field)
                    elif name not in KINDS:
                        float(field)
                except ValueError:
                    return f"{path}, line {number}, column {name}: {field!r} is not a number"
    return f"{path} cannot be read: {reason}"


def _cached(data_home: str | os.PathLike[str] | None, verbose: int) -> Path:
    """Path of the complete file in the cache folder, after a download where it is not there yet."""
    folder = Path(data_home or os.environ.get("SKHEP_ML_DATA") or "~/.cache/skhep_ml").expanduser()
    path = folder / NAME
    if path.is_file() and path.stat().st_size == SIZE:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{NAME}.{os.getpid()}.part"
    try:
        with temporary.open("wb") as file:
            size, checksum = _download(file, verbose)
        if (size, checksum) != (SIZE, ADLER32):
            msg = (
                f"the download from {URL} has {size} bytes and Adler-32 checksum {checksum:08x} "
                f"instead of {SIZE} and {ADLER32:08x}: try again, or download the file by hand and "
                "give its path as source"
            )
            raise ValueError(msg)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _download(file: IO[bytes], verbose: int) -> tuple[int, int]:
    """Copy the public file; return its size and checksum."""
    size, checksum = 0, 1
    try:
        with urllib.request.urlopen(URL, timeout=60) as response:
            while chunk := response.read(1 << 20):
                file.write(chunk)
                size += len(chunk)
                checksum = zlib.adler32(chunk, checksum)
                if verbose:
                    print(f"\r{NAME}: {size / SIZE:4.0%}", end="", file=sys.stderr, flush=True)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        msg = (
            f"{URL} could not be downloaded ({error}): check the network, or download the file "
            "elsewhere and give its path as source"
        )
        raise OSError(msg) from error
    if verbose:
        print(file=sys.stderr)
    return size, checksum
