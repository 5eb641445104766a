"""The report as one HTML file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skhep_ml._files import writable_folder, write_file
from skhep_ml.report._blocks import Code, Figure, Section, Table


@dataclass
class Report:
    """A report in one HTML file that loads nothing from elsewhere.

    Parameters
    ----------
    title : str
        Heading of the page.
    subtitle : str, default=""
        One line below it: sample, luminosity, weights.
    verdict : str, default=""
        The result in one sentence.
    front : Table, default=None
        The numbers behind the verdict.
    warnings : sequence of str, default=()
        What a reader must know before using the numbers.
    sections : list of Section, default=[]
        The rest, with a contents list.
    footer : str, default=""
        Last line: versions.

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
    front: Table | None = None
    warnings: Sequence[str] = ()
    sections: list[Section] = field(default_factory=list)
    footer: str = ""

    def to_html(self) -> str:
        """Render the page.

        Returns
        -------
        str
            HTML with styles and pictures inside.

        Raises
        ------
        ImportError
            jinja2 is not installed.
        ValueError
            Two sections of one title.
        """
        try:
            from jinja2 import Environment, PackageLoader, StrictUndefined
        except ImportError as error:
            msg = 'a report needs jinja2: pip install "skhep-ml[report]"'
            raise ImportError(msg) from error
        anchors = [section.anchor for section in self.sections]
        twice = sorted({anchor for anchor in anchors if anchors.count(anchor) > 1})
        if twice:
            msg = f"several sections have the anchor {twice[0]!r}: give each its own title"
            raise ValueError(msg)
        environment = Environment(
            loader=PackageLoader("skhep_ml.report", "_templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.tests["figure"] = lambda block: isinstance(block, Figure)
        environment.tests["table"] = lambda block: isinstance(block, Table)
        environment.tests["code"] = lambda block: isinstance(block, Code)
        return environment.get_template("report.html.j2").render(report=self)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file.

        Parameters
        ----------
        path : path-like
            Where to; an existing file is replaced in one step.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OSError
            Its folder cannot be written to.
        """
        path = Path(path)
        writable_folder(path.parent)
        write_file(path, self.to_html())
        return path
