"""Missing values: imputation, removal, and a report of what is missing."""

from typing import Any

from skhep_ml.impute._drop import DropMissingColumns
from skhep_ml.impute._missing import MissingValueImputer
from skhep_ml.impute._report import MissingReport, missing_report

__all__ = [
    "DropMissingColumns",
    "DropMissingRows",
    "MissingReport",
    "MissingValueImputer",
    "missing_report",
]


def __getattr__(name: str) -> Any:
    # its base class is imbalanced-learn's, which takes a second to import
    if name == "DropMissingRows":
        from skhep_ml.impute._drop_rows import DropMissingRows

        return DropMissingRows
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
