"""What a report is made of: sections of paragraphs, figures, tables, code and diagrams."""

import base64
import html
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
    source : matplotlib.figure.Figure, default=None
        What it was rendered from, for vector formats.

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
    source: Any = field(default=None, repr=False, compare=False)

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
        return cls(buffer.getvalue(), caption, alt, width, figure)

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"

    def pdf(self) -> bytes | None:
        """Render the picture as PDF.

        Returns
        -------
        bytes or None
            None for a picture that was not made from a matplotlib figure.
        """
        if self.source is None:
            return None
        buffer = io.BytesIO()
        self.source.savefig(buffer, format="pdf", metadata={"CreationDate": None})
        return buffer.getvalue()


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


@dataclass(frozen=True)
class Diagram:
    """HTML from elsewhere, shown in a frame of its own, such as an estimator's diagram.

    Parameters
    ----------
    html : str
        The HTML; scripts are left out.
    text : str
        The same as text, for formats other than HTML.
    title : str
        Name of the frame.
    height : int, default=240
        Height of the frame in pixels; the reader can change it.

    Examples
    --------
    >>> from skhep_ml.report import Diagram
    >>> Diagram("<b>x</b><script>alert(1)</script>", "x", "A letter").document
    '<!DOCTYPE html><html lang="en"><title>A letter</title><body><b>x</b></body></html>'
    """

    html: str
    text: str
    title: str
    height: int = 240

    @property
    def document(self) -> str:
        """The document inside the frame."""
        body = re.sub(r"<script\b.*?</script>", "", self.html, flags=re.DOTALL | re.IGNORECASE)
        body = re.sub(r"</?(html|head|body)\b[^>]*>|<!DOCTYPE[^>]*>", "", body)
        title = html.escape(self.title)
        return f'<!DOCTYPE html><html lang="en"><title>{title}</title><body>{body}</body></html>'


Block = str | Figure | Table | Code | Diagram


@dataclass
class Section:
    """A titled part of a report.

    Parameters
    ----------
    title : str
        Heading, also in the contents list.
    blocks : list of str, Figure, Table, Code or Diagram, default=[]
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
