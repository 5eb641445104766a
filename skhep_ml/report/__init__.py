"""Reports on models: one self-contained HTML file, Markdown, or JSON."""

from skhep_ml.plotting._blind import Blind
from skhep_ml.report._blocks import Code, Diagram, Figure, Section, Table
from skhep_ml.report._make import make_report
from skhep_ml.report._report import Report

__all__ = ["Blind", "Code", "Diagram", "Figure", "Report", "Section", "Table", "make_report"]
