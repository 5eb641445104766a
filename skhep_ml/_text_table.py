"""Tables of text for the terminal and for notebooks."""

import html
from collections.abc import Sequence


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of aligned cells, the first column to the left and the others to the right.

    Examples
    --------
    >>> from skhep_ml._text_table import text_table
    >>> print(text_table(("", "before", "after"), [("events", "1,000", "990")]))
            before  after
    events   1,000    990
    """
    lines = [head, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        ).rstrip()
        for line in lines
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """HTML of the same table, whatever the cells hold."""
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr><th>{}</th>{}</tr>".format(
            html.escape(row[0]), "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        )
        for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
