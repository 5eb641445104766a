import base64
import os
import sys

import pytest

from skhep_ml.report import Code, Figure, Report, Section, Table

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
