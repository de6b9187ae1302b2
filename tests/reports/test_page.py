import math
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from reports import page
from reports.statistics import Estimate


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def tags(text: str) -> list[str]:
    """Returns the tags of all pieces that show a text."""
    parser = _Tags()
    parser.feed(page.paragraph(text) + page.heading(2, text) + page.notes([text]))
    parser.feed(page.table([text], [[text]], (0,)) + page.figure(b"", text, text, [text]))
    return parser.tags


@given(st.text(min_size=1))
def test_no_text_becomes_a_tag(text: str) -> None:
    assert tags(text) == tags("a")


def test_numbers_have_three_digits_or_so() -> None:
    shown = [page.number(x) for x in (0.0, 0.12345, 5.678, -123.45, 4321.9, 1.5e7, 2e-5, math.nan)]
    assert shown == ["0.000", "0.123", "5.68", "-123.5", "4322", "1.50e+07", "2.00e-05", "–"]  # noqa: RUF001
    assert page.cell(Estimate(1.0, 0.5, 2.0)) == "1.00 (0.500 to 2.00)"
    assert page.cell(Estimate(1.0, math.nan, math.nan)) == "1.00"
