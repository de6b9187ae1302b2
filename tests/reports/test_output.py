from pathlib import Path

import pytest

from reports.output import PAGE, staged
from reports.page import GENERATOR, document
from reports.style import Chart

CHART = Chart("one", "One", "", None, ("a", "b"), [(float("nan"), "x"), (1 / 3, "<b>")])


def test_files_take_the_place_of_an_earlier_report(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with staged(tmp_path / "out") as files:
            _, paths = files.add(name, CHART)
            files.page(document(name, []))
            assert not (tmp_path / "out" / "tables" / "second-one.csv").exists()
    assert paths == ["tables/second-one.csv"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["figures", PAGE, "tables"]
    tables = list((tmp_path / "out" / "tables").iterdir())
    assert [table.name for table in tables] == ["second-one.csv"]
    assert tables[0].read_text() == "a,b\n,x\n0.333333,<b>\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_after_a_report_that_was_broken_off(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def broken() -> None:
        with staged(tmp_path / "out") as files:
            files.add("first", CHART)
            raise error

    with pytest.raises(error):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_report_stays_after_a_new_one_was_broken_off(tmp_path: Path) -> None:
    with staged(tmp_path) as files:
        files.add("first", CHART)
        files.page(document("first", []))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def broken() -> None:
        with staged(tmp_path) as files:
            files.page("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_bytes(b"")
    with pytest.raises(ValueError, match="new folder or hold an earlier report"), staged(tmp_path):
        pass
    (tmp_path / PAGE).write_text("<html>of mine</html>")
    with pytest.raises(ValueError, match="new folder or hold an earlier report"), staged(tmp_path):
        pass
    assert (tmp_path / "figures" / "mine.png").exists()


def test_a_page_is_known_as_ours() -> None:
    assert f'content="{GENERATOR}"' in document("x", [])[:1000]
