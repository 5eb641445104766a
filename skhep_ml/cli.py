"""The command ``skhep-ml``."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

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
    demo.add_argument(
        "--n-jobs",
        type=int,
        default=1,
        metavar="N",
        help="fits in parallel, of two threads each; -1 for all cores (default: %(default)s)",
    )
    return parser


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
    try:
        return _demo(options)
    except (ImportError, OSError, ValueError) as error:
        text = " ".join(str(error).split())
        print(f"skhep-ml: error: {text}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("\nskhep-ml: interrupted, nothing written", file=sys.stderr)
        return 130


def _demo(options: argparse.Namespace) -> int:
    # OpenMP reads it when it is loaded: threads that wait must not spin, which on a machine that
    # also does other work makes boosting several times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from skhep_ml._demo import run_demo, table

    results = run_demo(options.out, options.n_jobs, stream=sys.stderr)
    print(table(results))
    print(f"\nReport: {options.out}/report.html")
    return 0
