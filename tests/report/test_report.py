import base64
import json
import os
import sys

import pytest

from skhep_ml.report import Code, Diagram, Figure, Report, Section, Table
from skhep_ml.report._markdown import latex_text

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_every_block_is_on_the_page():
    report = Report(
        "The title",
        subtitle="The sample",
        verdict="The verdict.",
        front=Table(["", "a"], [["AUC", "0.9"]], "The front."),
        warnings=["Take care."],
        sections=[
            Section(
                "First part",
                [
                    "A paragraph.",
                    Figure(PNG, "The caption.", "A dot"),
                    Table(["x", "y"], [["1", "2"]], "Folded.", folded=True),
                    Code("pip install skhep-ml"),
                ],
            )
        ],
        footer="versions",
    )
    page = report.to_html()
    for text in ("The sample", "The verdict.", "0.9", "Take care.", "A paragraph.", "versions"):
        assert text in page
    assert '<a href="#first-part">First part</a>' in page
    assert 'id="first-part"' in page
    assert f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}" alt="A dot"' in page
    assert "<figcaption>The caption.</figcaption>" in page
    assert "<summary>Table: Folded.</summary>" in page
    assert "<code>pip install skhep-ml</code>" in page


def test_text_is_escaped_everywhere():
    bad = '<b>&"x"'
    table = Table([bad, bad], [[bad, bad]], bad)
    section = Section("s", [bad, table, Figure(PNG, bad, bad), Code(bad)])
    page = Report(bad, bad, bad, table, [bad], [section], bad).to_html()
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;&#34;x&#34;" in page


def test_an_empty_report_has_no_empty_boxes():
    page = Report("Only a title").to_html()
    body = page[page.index("<body>") :]
    for piece in ("<table", "<aside", "<footer", "verdict", "subtitle"):
        assert piece not in body


def test_text_columns_and_emphasis():
    table = Table(["a", "b", "c"], [["1", "2", "3"], ["4", "5", "6"]], "", (0, 1), emphasis=(1,))
    page = Report("t", front=table).to_html()
    assert '<th scope="col" class="text">b</th>' in page
    assert '<th scope="col">c</th>' in page
    assert '<td class="text">5</td>' in page
    assert page.count('<tr class="emphasis">') == 1


def test_table_of_unequal_rows_is_refused():
    with pytest.raises(ValueError, match="row 1 has 1 cells for 2 columns"):
        Table(["a", "b"], [["1", "2"], ["3"]], "")


def test_sections_of_one_title_are_refused():
    report = Report("t", sections=[Section("Same title"), Section("same-title")])
    with pytest.raises(ValueError, match="several sections have the anchor 'same-title'"):
        report.to_html()


def test_missing_jinja2_gives_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r'pip install "skhep-ml\[report\]"'):
        Report("t").to_html()


def test_write_replaces_in_one_step(tmp_path):
    path = Report("First").write(tmp_path / "new" / "report.html")
    Report("Second").write(path)
    assert "<title>Second</title>" in path.read_text(encoding="utf-8")
    assert os.listdir(path.parent) == ["report.html"]


def whole_report():
    return Report(
        "The *title*",
        subtitle="pt_1 | 2",
        verdict="Z = 5 ± 1.",
        front=[Table(["", "a"], [["x_1 & y", "10% ± 1"]], "The front.")],
        warnings=["Take care."],
        sections=[
            Section(
                "Part",
                [
                    "A paragraph.",
                    Figure(PNG, "The caption.", "A dot"),
                    Code("a_b = 1"),
                    Diagram("<b>x</b>", "Model()", "A model"),
                ],
            )
        ],
        footer="versions",
        numbers={"auc": float("nan"), "cut": 0.5},
    )


def test_markdown_with_its_files(tmp_path):
    path = whole_report().write(tmp_path / "out" / "r.md")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "out/r.md",
        "out/r_files/front-1.tex",
        "out/r_files/part-2.png",
    ]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# The \\*title\\*\n\npt\\_1 \\| 2\n\n**Z = 5 ± 1.**\n")
    assert "| x\\_1 & y | 10% ± 1 |\n" in text
    assert "![A dot](r_files/part-2.png)\n\n*The caption.*\n" in text
    assert "```\na_b = 1\n```\n" in text
    assert "```\nModel()\n```\n" in text
    assert (tmp_path / "out/r_files/part-2.png").read_bytes() == PNG
    table = (tmp_path / "out/r_files/front-1.tex").read_text(encoding="utf-8")
    assert table == "\n".join(
        [
            "% The front.",
            r"\begin{tabular}{lr}",
            r"\toprule",
            r" & a \\",
            r"\midrule",
            r"x\_1 \& y & 10\% $\pm$ 1 \\",
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def test_latex_text_has_no_commands_of_the_data():
    assert latex_text(r"\input{x} ~ ^ # $ ⁻¹ χ²") == (
        r"\textbackslash{}input\{x\} \textasciitilde{} \textasciicircum{} \# \$ $^{-1}$ "
        r"$\chi$$^2$"
    )


def test_json_holds_numbers_and_tables(tmp_path):
    path = whole_report().write(tmp_path / "r.json")
    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found["numbers"] == {"auc": None, "cut": 0.5}
    assert found["tables"][0]["rows"] == [["x_1 & y", "10% ± 1"]]
    assert found["warnings"] == ["Take care."]


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of .html, .md, .json"):
        whole_report().write(tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []


def test_diagram_is_a_document_without_scripts():
    bad = "<style>b {}</style><b>x</b><SCRIPT src='y'>alert(1)\n</SCRIPT><body>z</body>"
    section = Section("s", [Diagram(bad, "text", 'A "model"')])
    page = Report("t", sections=[section]).to_html()
    assert "alert" not in page
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert '<iframe title="A &#34;model&#34;" sandbox srcdoc=' in page


def test_figure_from_matplotlib_is_reproducible():
    from matplotlib.figure import Figure as Canvas

    def draw():
        canvas = Canvas(figsize=(2.0, 1.5))
        canvas.subplots().plot([0, 1], [1, 0])
        return Figure.from_matplotlib(canvas, caption="c", alt="a")

    first, second = draw(), draw()
    assert first.png == second.png
    assert first.png.startswith(b"\x89PNG")
    assert first.width == 192
    assert first.pdf() == second.pdf()
    assert first.pdf().startswith(b"%PDF-")
    assert Figure(PNG, "c", "a").pdf() is None
