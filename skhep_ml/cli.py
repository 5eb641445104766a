"""The command ``skhep-ml``."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from skhep_ml import __version__

USAGE_ERROR = 2


class _Parser(argparse.ArgumentParser):
    """Parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="skhep-ml",
        description="Machine learning for high-energy physics on scikit-learn.",
    )
    parser.add_argument("--version", action="version", version=f"skhep-ml {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="classify the embedded Higgs events and write a report",
        description=(
            "Search, compare and evaluate a BDT and a logistic regression on embedded, simulated "
            "H to tau tau events with signed weights; write report.html, results.json and plots."
        ),
    )
    demo.add_argument(
        "--out",
        default="skhep-ml-demo",
        metavar="DIR",
        help="where to write (default: %(default)s)",
    )
    _add_jobs(demo, "fits in parallel, of two threads each")
    demo.set_defaults(run=_demo)

    init = commands.add_parser(
        "init",
        help="write a commented example of a file for train",
        description="Write a commented example of an analysis file; an existing file is kept.",
    )
    init.add_argument("file", nargs="?", default="analysis.toml", metavar="FILE")
    init.set_defaults(run=_init)

    train = commands.add_parser(
        "train",
        help="train, evaluate and apply what an analysis file describes",
        description=(
            "Read events, run the rotating cross-validation (with a search in each fold if asked "
            "for), and write model, scores, report, ONNX and the scores of every event. Run "
            "again, it goes on where it was interrupted."
        ),
    )
    train.add_argument("file", metavar="FILE", help="analysis file in TOML; see skhep-ml init")
    train.add_argument("--check", action="store_true", help="check the file and stop")
    _add_jobs(train, "folds in parallel")
    train.set_defaults(run=_train)

    apply = commands.add_parser(
        "apply",
        help="write the scores of a trained model for the events of files",
        description="Write files of scores, by a model that train made, as friends of the input.",
    )
    apply.add_argument("model", metavar="MODEL", help="model.skml of train")
    apply.add_argument("files", nargs="+", metavar="FILE")
    apply.add_argument("--out", default="scored", metavar="DIR", help="(default: %(default)s)")
    apply.add_argument("--branch", default="score", metavar="NAME", help="(default: %(default)s)")
    apply.add_argument(
        "--copy",
        action="store_true",
        help="copy the files, with the scores; slow for many branches",
    )
    apply.add_argument("--overwrite", action="store_true", help="replace files in DIR")
    _add_jobs(apply, "files at a time")
    apply.add_argument(
        "--dask",
        metavar="ADDRESS",
        help=(
            "files on the workers of this Dask scheduler, such as tcp://host:8786; 'local' starts "
            "N workers here"
        ),
    )
    apply.set_defaults(run=_apply)

    report = commands.add_parser(
        "report",
        help="write the report of a trained analysis again",
        description="Write the report of what train made from an analysis file, and nothing else.",
    )
    report.add_argument("file", metavar="FILE", help="analysis file in TOML")
    report.set_defaults(run=_report)

    export = commands.add_parser(
        "export",
        help="write a trained model as ONNX",
        description="Write a model that train made as ONNX, with its preprocessing in the graph.",
    )
    export.add_argument("model", metavar="MODEL", help="model.skml of train")
    export.add_argument("out", metavar="OUT", help="file to write, such as model.onnx")
    export.set_defaults(run=_export)
    return parser


def _add_jobs(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--n-jobs",
        type=int,
        default=1,
        metavar="N",
        help=f"{what}; -1 for all cores (default: %(default)s)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    int
        Exit status: 0 for success, 2 for an error of use, 130 when interrupted.

    Examples
    --------
    >>> from skhep_ml.cli import main
    >>> main(["demo", "--out", "/dev/null/x"])
    2
    """
    options = _parser().parse_args(argv)
    # OpenMP reads it when it is loaded: threads that wait must not spin, which on a machine that
    # also does other work makes boosting several times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        options.run(options)
    except (ImportError, OSError, ValueError) as error:
        for mistake in getattr(error, "mistakes", ()):
            print(mistake, file=sys.stderr)
        text = " ".join(str(error).split())
        print(f"skhep-ml: error: {text}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("\nskhep-ml: interrupted", file=sys.stderr)
        return 130
    return 0


def _demo(options: argparse.Namespace) -> None:
    from skhep_ml._demo import run_demo, table

    results = run_demo(options.out, options.n_jobs, stream=sys.stderr)
    print(table(results))
    print(f"\nReport: {options.out}/report.html")


def _init(options: argparse.Namespace) -> None:
    from skhep_ml._analysis._template import template

    path = Path(options.file)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(path.name))
    except FileExistsError as error:
        msg = f"{path} exists: choose another name"
        raise FileExistsError(msg) from error
    print(f"wrote {path}: edit it, then run skhep-ml train {path}")


def _train(options: argparse.Namespace) -> None:
    from skhep_ml._analysis._config import read_analysis
    from skhep_ml._analysis._train import run

    analysis = read_analysis(options.file)
    if options.check:
        print(f"{options.file}: no mistakes")
        return
    scores = run(analysis, n_jobs=options.n_jobs, stream=sys.stderr)
    print(scores)
    print(f"\nWritten to {analysis.folder}:")
    for path in sorted(analysis.folder.iterdir()):
        if not path.name.startswith("."):
            print(f"  {path.name}{'/' if path.is_dir() else ''}")


def _apply(options: argparse.Namespace) -> None:
    from skhep_ml._analysis._train import apply_model

    model, how = _trained(options.model)
    with _on_dask(options.dask, options.n_jobs):
        written = apply_model(
            model, how, options.files, Path(options.out),
            branch=options.branch, friend=not options.copy, overwrite=options.overwrite,
            n_jobs=None if options.dask else options.n_jobs,
        )  # fmt: skip
    for path in written:
        print(path)


@contextmanager
def _on_dask(address: str | None, n_jobs: int) -> Iterator[None]:
    """Send joblib's work to a Dask cluster, or to one of ``n_jobs`` processes for the while."""
    if address is None:
        yield
        return
    import joblib

    from skhep_ml._extras import import_extra

    distributed = import_extra("distributed", "dask")
    with ExitStack() as stack:
        if address == "local":
            cluster = distributed.LocalCluster(
                n_workers=joblib.effective_n_jobs(n_jobs),
                threads_per_worker=1,
                dashboard_address=":0",
            )
            address = stack.enter_context(cluster).scheduler_address
        client = stack.enter_context(distributed.Client(address))
        stack.enter_context(joblib.parallel_config("dask", client=client))
        yield


def _trained(path: str) -> tuple[Any, dict[str, Any]]:
    """A model of train, and how it reads events."""
    from skhep_ml.export import load, read_manifest

    how = read_manifest(path)["metrics"].get("reading")
    if how is None:
        msg = f"{path} does not say how to read its features: it was not written by skhep-ml train"
        raise ValueError(msg)
    return load(path), how


def _report(options: argparse.Namespace) -> None:
    from skhep_ml._analysis._config import read_analysis
    from skhep_ml._analysis._train import MODEL, check_same_events, read, report
    from skhep_ml.export import read_manifest

    analysis = read_analysis(options.file)
    path = str(analysis.folder / MODEL)
    model, _ = _trained(path)
    events = read(analysis)
    check_same_events(events, read_manifest(path)["metrics"], analysis)
    report(analysis, model, events)
    print(f"Report: {analysis.folder / 'report.html'}")


def _export(options: argparse.Namespace) -> None:
    from skhep_ml.export import load, to_onnx

    to_onnx(load(options.model), options.out)
    print(f"wrote {options.out}")
