"""What a report is made of: sections of paragraphs, figures, tables and code."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A picture with its caption.

    Parameters
    ----------
    png : bytes
        The picture as PNG.
    caption : str
        What it shows: sample, weights, folds.
    alt : str
        The same for those who cannot see it.
    width : int, default=0
        Width in pixels at which the page shows it; 0 shows it as large as there is room.

    Examples
    --------
    >>> from matplotlib.figure import Figure as Canvas
    >>> from skhep_ml.report import Figure
    >>> canvas = Canvas()
    >>> line = canvas.subplots().plot([0, 1], [0, 1])
    >>> figure = Figure.from_matplotlib(canvas, caption="A line.", alt="A rising line")
    >>> figure.png[1:4], figure.width
    (b'PNG', 614)
    """

    png: bytes
    caption: str
    alt: str
    width: int = 0

    @classmethod
    def from_matplotlib(cls, figure: Any, *, caption: str, alt: str, dpi: int = 150) -> "Figure":
        """Render a matplotlib figure.

        Parameters
        ----------
        figure : matplotlib.figure.Figure
            The figure.
        caption, alt : str
            As in the class.
        dpi : int, default=150
            Resolution in pixels an inch; the page shows 96 pixels an inch, so that the picture
            stays sharp on dense screens.

        Returns
        -------
        Figure
            The block for a report.
        """
        buffer = io.BytesIO()
        # no metadata: the same numbers give the same bytes
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        width = round(96 * figure.get_size_inches()[0])
        return cls(buffer.getvalue(), caption, alt, width)

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequences of str
        Cells, formatted; the first of each row is its heading.
    caption : str
        What the numbers are: sample, weights, folds.
    text_columns : sequence of int, default=(0,)
        Columns of text, set flush left; numbers are set flush right.
    emphasis : sequence of int, default=()
        Rows to stand out.
    folded : bool, default=False
        Show the caption only, until the reader opens the table.

    Raises
    ------
    ValueError
        A row that is not as long as ``columns``.

    Examples
    --------
    >>> from skhep_ml.report import Table
    >>> Table(["process", "events"], [["Z", "17,038"]], "Selected events.").rows[0][1]
    '17,038'
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    text_columns: Sequence[int] = (0,)
    emphasis: Sequence[int] = ()
    folded: bool = False

    def __post_init__(self) -> None:
        for k, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                msg = f"row {k} has {len(row)} cells for {len(self.columns)} columns: {row}"
                raise ValueError(msg)


@dataclass(frozen=True)
class Code:
    """Text to copy, set as it stands.

    Parameters
    ----------
    text : str
        Commands or code.

    Examples
    --------
    >>> from skhep_ml.report import Code
    >>> Code("skhep-ml demo").text
    'skhep-ml demo'
    """

    text: str


Block = str | Figure | Table | Code


@dataclass
class Section:
    """A titled part of a report.

    Parameters
    ----------
    title : str
        Heading, also in the contents list.
    blocks : list of str, Figure, Table or Code, default=[]
        Content in order; a string is a paragraph.

    Examples
    --------
    >>> from skhep_ml.report import Section
    >>> Section("Score by process", ["One sentence."]).anchor
    'score-by-process'
    """

    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Name of the section in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
