"""The README and the documentation: their code runs as printed, their numbers are the results'."""

import json
import re

import keras
import pages
import pytest
from PIL import Image

from support import claims

ROOT = pages.ROOT
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "results.md"
TABLE = re.compile(r"^\|.*\n(?:\|.*\n)+", re.MULTILINE)
DECIMAL = re.compile(r"(?<![\d.,:v-])\d+\.\d+(?![\d.]*\.\d)")
WRITTEN = [path.read_text() for path in sorted((ROOT / "figures").rglob("*.md"))]

WITH_BLOCKS = [path for path in pages.PAGES if list(pages.parse(path).examples())]


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=name)
def test_blocks_run_as_printed(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages.run(path)
    keras.utils.clear_session(free_memory=True)
    # What a page shows beside its own code, that code made.
    for picture in pages.PICTURE.findall(path.read_text()):
        if "/" not in picture:
            with Image.open(tmp_path / picture) as made, Image.open(path.parent / picture) as shown:
                assert made.size == shown.size, picture
            assert (path.parent / picture).stat().st_size < 200_000, picture


def test_every_block_is_of_a_kind_that_is_checked():
    for path in pages.PAGES:
        kinds = re.findall(r"^ *```(\S+)", path.read_text(), re.MULTILINE)
        assert {*kinds} <= {"python", "console", "text", "bash", "bibtex", "yaml"}, path
        assert path.read_text().count("```") == 2 * len(kinds), f"{path}: a block of no kind"


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        ("loss 24.42, in 00:46", "loss 20.5,   in 01:12:03", True),
        ("loss 24.42", "loss 31.0", False),
        ("1,350 images", "1,351 images", False),
        ("p 0.000999", "p 9.99e-04", True),
        ("KNN 99.33 %", "SVM 99.33 %", False),
        ("0.0", "0.04", True),
        ("no number", "no number", True),
    ],
)
def test_what_counts_as_the_same_output(shown, printed, alike):
    assert pages.is_alike(shown, printed) == alike


PAGE = """
```python
x = 1
print("x is", x)
```
```text
x is {shown}
```
{mark}
```python
print(x + y)
```
"""


@pytest.mark.parametrize(
    ("shown", "mark", "error"),
    [
        ("1", "<!-- not run: y is yours -->", None),
        ("2", "<!-- not run: y is yours -->", AssertionError),
        ("1", "<!-- not run: -->", NameError),
        ("1", "", NameError),
    ],
)
def test_a_page_that_is_wrong_is_found_out(shown, mark, error, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE.format(shown=shown, mark=mark))
    if error is None:
        assert pages.run(path) == ["y is yours"]
    else:
        with pytest.raises(error):
            pages.run(path)


# Numbers ------------------------------------------------------------------------------------------


def rows(markdown):
    """Each row of a text's tables, as pairs of heading and cell."""
    for table in TABLE.findall(markdown):
        heads, _, *body = (
            [cell.strip() for cell in line.split("|")] for line in table.splitlines()
        )
        yield from (set(zip(heads, cells, strict=True)) for cells in body)


@pytest.mark.usefixtures("told_results")
@pytest.mark.parametrize(("path", "least"), [(README, 4), (RESULTS, 15)])
def test_tables_are_those_of_the_results(path, least):
    """What a page shows of a table, to the digit, is what a script wrote."""
    written = [row for text in WRITTEN for row in rows(text)]
    shown = list(rows(path.read_text()))
    assert len(shown) >= least
    for row in shown:
        assert any(row <= other for other in written), row


@pytest.mark.usefixtures("told_results")
@pytest.mark.parametrize("path", [README, RESULTS])
def test_numbers_in_the_text_are_those_of_the_results(path):
    """Every decimal number in the prose of results stands in some result, digit by digit."""
    text = path.read_text()
    if path == README:
        text = text[text.index("## Beside the paper") : text.index("## Where to go on")]
    known = {number for each in WRITTEN for number in DECIMAL.findall(each)}
    # The one number of a single seed where the tables show three seeds' mean.
    neighbours = json.loads((ROOT / "figures" / "table2.json").read_text())["neighbours"]
    known.add(f"{neighbours['15']['Mixture']['per_seed'][0]:.2f}")
    shown = DECIMAL.findall(TABLE.sub("", text))
    assert len(shown) > 10
    assert not [number for number in shown if number not in known]


@pytest.mark.usefixtures("told_results")
def test_verdicts_are_the_report_s():
    """In the report's order; in prose with the reason where it is the number of seeds.

    After those of the text's reading, those of the published code's that were run.
    """
    report = (ROOT / "figures" / "REPORT.md").read_text()
    scorecards = report[: report.index("## What of it")].split("## The same in another reading")
    judged = ([dict(row) for row in rows(each)] for each in scorecards)
    claimed, others = ([row for row in each if "in this reading" in row] for each in judged)
    assert (len(claimed), len(others)) == (len(claims.CLAIMS), len(claims.under("authors_mnist")))
    shown = [row for row in map(dict, rows(README.read_text())) if "verdict" in row]
    assert all(row.items() <= whole.items() for row, whole in zip(shown, claimed, strict=True))
    judged = [row["verdict"] for row in claimed + others if row["verdict"] != "not run"]
    expected = [re.sub(r" \((?!one seed).*", "", verdict) for verdict in judged]
    said = re.compile(
        r"^- [^*\n]*\*\*((?:supported|contradicted|undecided)[^*]*)\*\*", re.MULTILINE
    )
    assert said.findall(RESULTS.read_text()) == expected


def test_the_front_page_is_short():
    lines = README.read_text().splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("![") for line in lines[:20])  # on the first screen


# Links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", pages.PAGES, ids=name)
def test_links_lead_somewhere(path):
    """As the files lie in the repository; `mkdocs build --strict` looks at the site's."""
    for link in re.findall(r"\]\(([^)\s:#]+)(?:#[^)\s]*)?\)", path.read_text()):
        assert (path.parent / link).exists(), link
