"""The program, from run directories to the page."""

import csv
import html
import re
from pathlib import Path
from typing import Any

import pytest

import report
from reports import building, loading
from reports.loading import bin_width
from tests.reports.writing import lifetime, tasks, write


def text(page: Path) -> str:
    """Returns the words of a page."""
    shown = re.sub("<style>.*</style>|<[^>]*>", " ", page.read_text(), flags=re.DOTALL)
    return " ".join(html.unescape(shown).split())


def make(folder: Path, *args: str) -> str:
    assert report.main([str(folder / "runs"), "--out", str(folder / "out"), *args]) == 0
    return text(folder / "out" / "index.html")


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Returns the one line that bad input is answered with."""
    assert report.main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("report.py: error: ")
    assert error.count("\n") == 1
    return error


def write_runs(folder: Path) -> None:
    """Two arms of three seeds in an environment, and one of a stream."""
    for name, better in (("relu", 0.0), ("tanh", 3.0)):
        settings = {"activation": name, "num_seeds": 3}
        write(folder / "runs" / name, lifetime(range(3), better=better), settings)
    stream = {"stream": "random-label", "data": "digits", "num_tasks": 3, "num_seeds": 2}
    write(folder / "runs" / "stream", tasks(range(2)), stream)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with runs."""
    write_runs(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a report."""
    folder = tmp_path_factory.mktemp("made")
    write_runs(folder)
    make(folder)
    return folder


def test_a_page_says_what_was_compared(made: Path) -> None:
    words = text(made / "out" / "index.html")
    assert "3 runs, 3 of them finished, in 2 worlds" in words
    assert "relu (n=3); tanh (n=3)" in words
    assert "Student's t over seeds" in words
    assert f"no fresh agents: run python -m training.fresh {made}/runs/relu" in words
    assert "Over the 4 of 4 task visits" in words
    assert f"python train.py --config {made}/runs/tanh/config.yaml" in words
    assert f"python supervise.py --config {made}/runs/stream/config.yaml" in words
    assert "random-label, data=digits" in words


def test_a_page_needs_nothing_else(made: Path) -> None:
    page = (made / "out" / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(s.startswith(("data:image/svg", "#", "figures/", "tables/")) for s in sources)
    assert "<script" not in page
    links = [s for s in sources if s.startswith(("figures/", "tables/"))]
    assert links
    assert all((made / "out" / link).is_file() for link in links)


def test_a_page_alone_links_to_no_files(runs: Path) -> None:
    words = make(runs)
    alone = make(runs, "--page-only")  # in place of the other
    assert [path.name for path in (runs / "out").iterdir()] == ["index.html"]
    assert "Files: svg , png , csv ." in words
    assert "tables/" in words
    assert "Files:" not in alone
    assert "tables/" not in alone
    page = (runs / "out" / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(s.startswith(("data:image/svg", "#")) for s in sources)
    assert page.count("<img") == words.count("Files:")


def test_equal_runs_give_equal_reports(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = {p: p.read_bytes() for p in (made / "out").rglob("*") if p.is_file()}
    make(made)
    assert {p: p.read_bytes() for p in (made / "out").rglob("*") if p.is_file()} == first
    assert f"the report is {made}/out/index.html" in capsys.readouterr().out


def test_tables_hold_what_figures_show(made: Path) -> None:
    rows = (made / "out" / "tables" / "1-classic-cycle-area.csv").read_text().splitlines()
    assert rows[0] == "arm,task,visit,start,end,n,mean,ci95_low,ci95_high"
    # Mean of 0.5, 1.5 and 2.5; the interval is 4.303 / sqrt(3) wide to each side.
    assert rows[1] == "relu,0,0,0,10,3,1.5,-0.984138,3.98414"


def test_the_baseline_can_be_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "one of the baseline (tanh)" in make(runs, "--baseline", "tanh")
    error = refused(capsys, str(runs / "runs"), "--out", str(runs / "o"), "--baseline", "elu")
    assert "`baseline` should be one of relu; tanh. Received elu" in error
    assert not (runs / "o").exists()


def test_a_page_says_what_runs_were_made_with(tmp_path: Path) -> None:
    made = {"version": "0.1.0", "torch": "2.13.0", "cpu": "AVX2"}
    write(tmp_path / "runs" / "a", lifetime(range(2)), {"num_seeds": 2}, made)
    write(tmp_path / "runs" / "b", lifetime(range(2)), {"num_seeds": 2, "activation": "elu"})
    words = make(tmp_path)
    assert "yes adalin-rl 0.1.0, torch 2.13.0, CPU AVX2 python train.py" in words
    assert "yes not recorded python train.py" in words


def test_fresh_agents_make_plasticity(tmp_path: Path) -> None:
    visits = [{"task": 0, "visit": 0, "plasticity": {"per_seed": [0.5, 0.75]}}]
    write(tmp_path / "runs", lifetime(range(2)), {"num_seeds": 2}, {"fresh": {"visits": visits}})
    words = make(tmp_path)
    assert "0.625" in words
    assert "no fresh agents" not in words


def test_a_single_seed_has_no_interval_and_the_page_says_so(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "a", lifetime())
    words = make(tmp_path)
    assert "relu has a single seed: it has no interval" in words
    assert "nan" not in words


def test_an_arm_with_a_single_seed_leaves_no_interval_to_those_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "a", lifetime())
    write(
        tmp_path / "runs" / "b",
        lifetime(range(2), better=1.0),
        {"num_seeds": 2, "activation": "tanh"},
    )
    words = make(tmp_path)
    assert "relu has a single seed: it has no interval" in words
    (file,) = (tmp_path / "out/tables").glob("*aggregates.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    whole = {r["measure"] for r in rows if r["arm"] == "tanh" and r["ci95_low"] not in ("", "nan")}
    assert whole == {"iqm_area", "iqm_final"}


def test_a_last_visit_that_is_short_is_told_of(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "a", lifetime(range(2)), {"num_seeds": 2})
    rows = [row for row in lifetime(range(2)) if row[0] <= 35]
    rows += [(35, seed, 0, 1, "plasticity/q/weight_rms", 1.0) for seed in range(2)]
    settings = {"num_seeds": 2, "activation": "tanh", "total_steps": 35}
    short = write(tmp_path / "runs" / "b", rows, settings)
    words = make(tmp_path)
    assert f"tanh: the last visit of {short} has 5 of 10 steps, and counts as it is" in words
    assert words.count("the last visit of") == 1


def test_runs_that_are_not_finished_are_used_as_far_as_they_got(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "a", lifetime(range(2)), {"num_seeds": 2})
    broken = write(tmp_path / "runs" / "b", lifetime(visits=3), {"seed": 2})
    with (broken / "metrics.csv").open("a") as file:
        file.write("31,2,0,0,ret")
    rows = (broken / "metrics.csv").read_text().replace(",0,", ",2,", 0)
    (broken / "metrics.csv").write_text(re.sub(r"(?m)^(\d+),0,", r"\1,2,", rows))
    words = make(tmp_path)
    assert f"not finished: {broken} at step 30" in words
    assert "the last line of metrics.csv is only half there" in words
    assert "Over the 2 of 4 task visits" in words


def test_a_run_that_has_just_begun_has_a_page_too(tmp_path: Path) -> None:
    write(tmp_path / "runs", [])
    words = make(tmp_path)
    assert "No seed has completed a task visit yet." in words
    assert "metrics.csv holds no numbers yet" in words


def test_names_of_other_versions_are_told(tmp_path: Path) -> None:
    write(tmp_path / "runs", [*lifetime(), (40, 0, 0, 1, "brand/new", 1.0)])
    words = make(tmp_path)
    assert "names that are not known, and ignored: brand/new" in words
    assert "absent: effective_rank, feature_norm, summary.json" in words


def test_names_of_strangers_are_only_shown(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>$\\frac{$"
    rows = [*lifetime(), (40, 0, 0, 1, evil, 1.0), (40, 0, 0, 1, f"plasticity/{evil[:8]}/q_max", 1)]
    settings: dict[str, Any] = {"activation": evil, "env": evil, "other": "\x1b[31m"}
    write(tmp_path / "runs" / "<img src=x>", rows, settings)
    write(tmp_path / "runs" / "b", rows, {"env": evil})
    words = make(tmp_path)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script" not in page
    assert page.count("<img ") == page.count("<img alt=")
    assert evil in words
    assert "\x1b" not in page


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.yaml", "a: [", "config.yaml is not YAML"),
        ("config.yaml", "\x00", "config.yaml is not YAML"),
        ("metrics.csv", "step,value\n", "should begin with the line step,seed"),
        (
            "metrics.csv",
            "step,seed,task,visit,name,value\n1,2\n",
            "should have six fields (line 2)",
        ),
    ],
)
def test_damaged_runs_are_refused_by_name(
    runs: Path, capsys: pytest.CaptureFixture[str], file: str, content: str, message: str
) -> None:
    (runs / "runs" / "relu" / file).write_text(content)
    error = refused(capsys, str(runs / "runs"), "--out", str(runs / "out"))
    assert message in error
    assert f"{runs}/runs/relu" in error
    assert not (runs / "out").exists()


def test_paths_without_runs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = "--out", str(tmp_path / "out")
    assert "is no folder" in refused(capsys, str(tmp_path / "nowhere"), *out)
    assert "holds no run" in refused(capsys, str(tmp_path), *out)


def test_ctrl_c_leaves_what_was_there(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "_trace", interrupted)
    assert report.main([str(runs / "runs" / "relu"), "--out", str(runs / "out")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (runs / "out").exists()


def test_several_processes_read_the_same(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _ = loading.load([runs / "runs"])
    monkeypatch.setattr(loading, "LARGE", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    told: list[tuple[int, int]] = []
    together, _ = loading.load([runs / "runs"], lambda *at: told.append(at))
    assert repr(together) == repr(alone)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_bins_are_round_numbers_of_steps() -> None:
    assert [bin_width(last) for last in (0, 100, 101, 6_000, 60_000, 10**6)] == [
        1, 1, 2, 100, 1_000, 10_000,
    ]  # fmt: skip
    assert bin_width(15_000) == 200
