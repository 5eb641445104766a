"""Reports as one self-contained HTML file: sections of text, figures and tables."""

from skhep_ml.report._blocks import Code, Figure, Section, Table
from skhep_ml.report._report import Report

__all__ = ["Code", "Figure", "Report", "Section", "Table"]
