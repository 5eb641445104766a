"""Reports as Markdown with figures and LaTeX tables beside it."""

from typing import Any

from skhep_ml.report._blocks import Code, Diagram, Figure, Section, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_"},
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\to$",
    "χ": r"$\chi$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "ε": r"$\varepsilon$",
    "²": r"$^2$",
    "³": r"$^3$",
    "⁻¹": r"$^{-1}$",
    "…": r"\dots{}",
}
_MARKDOWN = {ord(character): f"\\{character}" for character in r"\`*_[]<>|#"}


def render_markdown(report: Any, folder: str) -> tuple[str, dict[str, bytes]]:
    """The text, and the content of the files that it links to by their names in a folder."""
    files: dict[str, bytes] = {}
    lines = [f"# {_escaped(report.title)}", ""]
    if report.subtitle:
        lines += [_escaped(report.subtitle), ""]
    if report.verdict:
        lines += [f"**{_escaped(report.verdict)}**", ""]
    for k, table in enumerate(report.front_tables):
        lines += _table(table, f"front-{k + 1}", folder, files)
    if report.warnings:
        lines += ["Read before use:", "", *(f"- {_escaped(w)}" for w in report.warnings), ""]
    for section in report.sections:
        lines += _section(section, folder, files)
    if report.footer:
        lines += ["---", "", _escaped(report.footer), ""]
    return "\n".join(lines), files


def latex_table(table: Table) -> str:
    """A table as LaTeX, for the package booktabs."""
    align = "".join("l" if k in table.text_columns else "r" for k in range(len(table.columns)))
    rows = [" & ".join(latex_text(cell) for cell in row) + r" \\" for row in table.rows]
    head = " & ".join(latex_text(name) for name in table.columns) + r" \\"
    return "\n".join(
        [
            f"% {' '.join(table.caption.split())}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            head,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Text with what LaTeX would read as commands, and common signs, spelled out."""
    out = []
    position = 0
    while position < len(text):
        for length in (2, 1):
            part = text[position : position + length]
            if part in _LATEX:
                out.append(_LATEX[part])
                break
        else:
            part = text[position]
            out.append(part)
        position += len(part)
    return "".join(out)


def _section(section: Section, folder: str, files: dict[str, bytes]) -> list[str]:
    lines = [f"## {_escaped(section.title)}", ""]
    for k, block in enumerate(section.blocks):
        name = f"{section.anchor}-{k + 1}"
        if isinstance(block, Figure):
            files[f"{name}.png"] = block.png
            vector = block.pdf()
            link = ""
            if vector is not None:
                files[f"{name}.pdf"] = vector
                link = f" ([PDF]({folder}/{name}.pdf))"
            lines += [
                f"![{_escaped(block.alt)}]({folder}/{name}.png)",
                "",
                f"*{_escaped(block.caption)}*{link}",
                "",
            ]
        elif isinstance(block, Table):
            lines += _table(block, name, folder, files)
        elif isinstance(block, (Code, Diagram)):
            lines += ["```", block.text, "```", ""]
        else:
            lines += [_escaped(block), ""]
    return lines


def _table(table: Table, name: str, folder: str, files: dict[str, bytes]) -> list[str]:
    files[f"{name}.tex"] = latex_table(table).encode()
    marks = ["---" if k in table.text_columns else "---:" for k in range(len(table.columns))]
    rows = [table.columns, marks, *table.rows]
    return [
        *(
            "| " + " | ".join(cell if row is marks else _escaped(cell) for cell in row) + " |"
            for row in rows
        ),
        "",
        f"*{_escaped(table.caption)}* ([LaTeX]({folder}/{name}.tex))",
        "",
    ]


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return " ".join(str(text).split()).translate(_MARKDOWN)
