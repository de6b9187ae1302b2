import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import columns
from tests.reports.writing import HEADER

NAMES = st.text("abcdefgh/@_.0é", min_size=1, max_size=40)
ROWS = st.lists(
    st.tuples(
        st.integers(0, 10**15 - 1),
        st.integers(0, 10**9 - 1),
        st.integers(0, 99),
        st.integers(0, 9),
        NAMES,
        st.floats(),
    ),
    max_size=30,
)


def table(folder: Path, text: str) -> Path:
    file = folder / "metrics.csv"
    file.write_bytes(text.encode())
    return file


@given(ROWS, st.integers(10, 200))
def test_rows_are_those_of_the_file_for_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]], size: int
) -> None:
    lines = [HEADER, *(",".join(map(str, row)) for row in rows)]
    file = table(tmp_path_factory.mktemp("run"), "\n".join(lines) + "\n")
    before, columns.BLOCK = columns.BLOCK, size
    try:
        found = columns.read(file, lambda name: "a" in str(name))
    finally:
        columns.BLOCK = before
    assert found.count == len(rows)
    assert not found.cut
    assert set(found.names) == {str(row[4]) for row in rows}
    for name in {str(row[4]) for row in rows if "a" in str(row[4])}:
        expected = [(*row[:4], row[5]) for row in rows if str(row[4]) == name]
        assert str(found.rows[name].tolist()) == str(expected)  # nan is not nan


def test_names_that_differ_in_a_single_byte_are_told_apart(tmp_path: Path) -> None:
    names = [f"plasticity/q/{'x' * i}{c}{'x' * (9 - i)}" for i in range(10) for c in "ab"]
    lines = [f"{i},0,0,0,{name},{i}" for i, name in enumerate(names)]
    file = table(tmp_path, "\n".join([HEADER, *lines, *lines]) + "\n")
    found = columns.read(file, lambda _: True)
    assert found.names == names
    assert [found.rows[name]["step"].tolist() for name in names] == [[i, i] for i in range(20)]


def test_half_a_last_line_is_left_out(tmp_path: Path) -> None:
    file = table(tmp_path, f"{HEADER}\n5,0,0,0,return/episode,1.5\n10,0,0,0,return/epis")
    found = columns.read(file, lambda _: True)
    assert found.cut
    assert found.rows["return/episode"].tolist() == [(5, 0, 0, 0, 1.5)]
    assert columns.last_step(file) == 5


def test_values_that_are_not_finite_are_read(tmp_path: Path) -> None:
    file = table(tmp_path, f"{HEADER}\n1,0,0,0,x,nan\n2,0,0,0,x,-inf\n")
    values = columns.read(file, lambda _: True).rows["x"]["value"]
    assert math.isnan(values[0])
    assert values[1] == -math.inf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "should begin with the line step,seed"),
        ("step,name,value\n1,a,2\n", "should begin with the line step,seed"),
        (f"{HEADER}\n1,0,0,0,x,1\n1,0,0,x,1\n", r"should have six fields \(line 3\)"),
        (f"{HEADER}\n1,0,0,0,0,x,1\n", r"should have six fields \(line 2\)"),
        (f"{HEADER}\n1,0,0,0,x,1\nx,0,0,0,x,1\n", r"a step that is no number \(line 3\)"),
        (f"{HEADER}\n1,0,-1,0,x,1\n", r"a task that is no number \(line 2\)"),
        (f"{HEADER}\n,0,0,0,x,1\n", r"a step that is no number \(line 2\)"),
        (f"{HEADER}\n{'9' * 30},0,0,0,x,1\n", r"a step that is no number \(line 2\)"),
        (f"{HEADER}\n1,0,0,0,x,1\n1,0,0,0,x,one\n", r"a value that is no number \(line 3\)"),
        (f'{HEADER}\n1,0,0,0,"x",1\n', "has quotes"),
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = table(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        columns.read(file, lambda _: True)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BLOCK", 1 << 12)
    file = table(tmp_path, f"{HEADER}\n" + "1" * (1 << 18))
    with pytest.raises(ValueError, match="a line without end"):
        columns.read(file, lambda _: True)


def test_names_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST_NAMES", 3)
    file = table(tmp_path, HEADER + "\n" + "".join(f"1,0,0,0,{i},1\n" for i in range(4)))
    with pytest.raises(ValueError, match="more than 3 names"):
        columns.read(file, lambda _: True)


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    secret = table(tmp_path, f"{HEADER}\n")
    link = tmp_path / "link.csv"
    link.symlink_to(secret)
    with pytest.raises(ValueError, match="is a link"):
        columns.read(link, lambda _: True)
    with pytest.raises(ValueError, match="is not a file"):
        columns.read(tmp_path, lambda _: True)
