"""The report: written as HTML, Markdown or JSON."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skhep_ml._extras import import_extra
from skhep_ml._files import writable_folder, write_file
from skhep_ml.report._blocks import Code, Diagram, Figure, Section, Table
from skhep_ml.report._markdown import render_markdown

FORMATS = (".html", ".md", ".json")


@dataclass
class Report:
    """A report: HTML in one file that loads nothing from elsewhere, Markdown, or JSON.

    Parameters
    ----------
    title : str
        Heading of the page.
    subtitle : str, default=""
        One line below it: sample, luminosity, weights.
    verdict : str, default=""
        The result in one sentence.
    front : Table or sequence of Table, default=()
        The numbers behind the verdict.
    warnings : sequence of str, default=()
        What a reader must know before using the numbers.
    sections : list of Section, default=[]
        The rest, with a contents list.
    footer : str, default=""
        Last line: versions.
    numbers : mapping, default={}
        All numbers, for JSON.

    Examples
    --------
    >>> from skhep_ml.report import Report, Section
    >>> report = Report("Closure", verdict="It closes.")
    >>> report.sections.append(Section("Method", ["Signed against unsigned weights."]))
    >>> "Signed against unsigned weights." in report.to_html()
    True
    """

    title: str
    subtitle: str = ""
    verdict: str = ""
    front: Table | Sequence[Table] | None = ()
    warnings: Sequence[str] = ()
    sections: list[Section] = field(default_factory=list)
    footer: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def front_tables(self) -> list[Table]:
        """The tables of the front page."""
        if self.front is None:
            return []
        return [self.front] if isinstance(self.front, Table) else list(self.front)

    def to_html(self) -> str:
        """Render the page.

        Returns
        -------
        str
            HTML with styles and pictures inside.

        Raises
        ------
        ModuleNotFoundError
            jinja2 is not installed.
        ValueError
            Two sections of one title.
        """
        jinja2 = import_extra("jinja2", "report")
        self._check_titles()
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("skhep_ml.report", "_templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for kind in (Figure, Table, Code, Diagram):
            environment.tests[kind.__name__.lower()] = lambda block, kind=kind: isinstance(
                block, kind
            )
        return str(environment.get_template("report.html.j2").render(report=self))

    def to_markdown(self) -> str:
        """Render as Markdown, with links to the files that ``write`` puts beside it.

        Returns
        -------
        str
            The text, with the figures in a folder ``report_files``.
        """
        self._check_titles()
        return render_markdown(self, "report_files")[0]

    def to_json(self) -> str:
        """Render all numbers and tables as JSON.

        Returns
        -------
        str
            An object; numbers that JSON does not know are null.
        """
        content = {
            "title": self.title,
            "subtitle": self.subtitle,
            "verdict": self.verdict,
            "warnings": list(self.warnings),
            "numbers": self.numbers,
            "tables": [
                {
                    "section": section,
                    "caption": table.caption,
                    "columns": list(table.columns),
                    "rows": [list(row) for row in table.rows],
                }
                for section, tables in self._tables()
                for table in tables
            ],
            "footer": self.footer,
        }
        return json.dumps(plain_values(content), indent=1, allow_nan=False) + "\n"

    def _tables(self) -> list[tuple[str, list[Table]]]:
        parts = [("front page", self.front_tables)]
        for section in self.sections:
            parts.append((section.title, [b for b in section.blocks if isinstance(b, Table)]))
        return parts

    def _check_titles(self) -> None:
        anchors = [section.anchor for section in self.sections]
        twice = sorted({anchor for anchor in anchors if anchors.count(anchor) > 1})
        if twice:
            msg = f"several sections have the anchor {twice[0]!r}: give each its own title"
            raise ValueError(msg)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the report to a file, whose ending says in which format.

        Parameters
        ----------
        path : path-like
            Where to: ``.html`` is one self-contained file; ``.md`` comes with a folder beside it,
            ``NAME_files``, of all figures as PNG and PDF and all tables as LaTeX; ``.json`` holds
            the numbers and tables. An existing file is replaced in one step.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OSError
            Its folder cannot be written to.
        ValueError
            Another ending.
        """
        path = check_report_path(path)
        writable_folder(path.parent)
        if path.suffix == ".html":
            write_file(path, self.to_html())
        elif path.suffix == ".json":
            write_file(path, self.to_json())
        else:
            self._check_titles()
            folder = path.with_name(f"{path.stem}_files")
            text, files = render_markdown(self, folder.name)
            writable_folder(folder)
            for name, content in files.items():
                write_file(folder / name, content)
            # last, so that a text never links to what is not there
            write_file(path, text)
        return path


def check_report_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a report; refuse endings of no format."""
    path = Path(path)
    if path.suffix not in FORMATS:
        msg = f"path={str(path)!r} must end in one of {', '.join(FORMATS)}, the formats of a report"
        raise ValueError(msg)
    return path


def plain_values(value: Any) -> Any:
    """The same in types of JSON, with None for numbers that it does not know."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain_values(item) for item in value]
    if isinstance(value, np.generic):
        return plain_values(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
