"""Folders and buckets do the same; a bucket of a disk stands for those of clouds."""

from pathlib import Path

import pytest

from sweeps.storage import Bucket, Folder, Storage, open_storage


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "bucket":
        pytest.importorskip("pyarrow", reason="the extra `sweep` is not installed")
        return open_storage(f"file://{tmp_path}/root")
    return open_storage(str(tmp_path / "root"))


def test_files_come_back(storage: Storage) -> None:
    assert storage.read("a/b") is None
    assert storage.names("a") == []
    storage.write("a/b", "1")
    storage.write("a/b", "é")
    storage.write("a/c", "")
    assert storage.read("a/b") == "é"
    assert storage.names("a") == ["b", "c"]


def test_a_run_is_there_for_the_next_one(storage: Storage, tmp_path: Path) -> None:
    with storage.work("run,x=1") as (folder, bring):
        (folder / "checkpoint" / "5").mkdir(parents=True)
        (folder / "checkpoint" / "5" / "state").write_text("five")
        (folder / "metrics.csv").write_text("1\n")
        bring()
        (folder / "checkpoint" / "9").mkdir()
        (folder / "checkpoint" / "9" / "state").write_text("nine")
        (folder / "checkpoint" / "5" / "state").unlink()
        (folder / "checkpoint" / "5").rmdir()
        (folder / "metrics.csv").write_text("1\n2\n")
        bring()
    assert storage.read("run,x=1/metrics.csv") == "1\n2\n"
    with storage.work("run,x=1") as (folder, _):
        found = {
            str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()
        }
    assert found == {"checkpoint/9/state": "nine", "metrics.csv": "1\n2\n"}


def test_only_what_has_changed_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="the extra `sweep` is not installed")
    bucket = Bucket(f"file://{tmp_path}/root")
    copied: list[str] = []
    put = bucket.put

    def noted(path: str, content: bytes) -> None:
        copied.append(path)
        put(path, content)

    monkeypatch.setattr(bucket, "put", noted)
    for expected in (["r/a", "r/summary.json"], ["r/a"]):
        with bucket.work("r") as (folder, bring):
            folder.mkdir(exist_ok=True)
            if not copied:
                (folder / "summary.json").write_text("{}")
                (folder / ".lock").write_text("1")
                (folder / "x.tmp").write_text("half")
            (folder / "a").write_text(f"{len(copied)}")
            copied.clear()
            bring()
            assert copied == expected  # what says that the run is done comes last
            bring()
            assert copied == expected


def test_one_sweep_at_a_time_in_a_folder(tmp_path: Path) -> None:
    lock = Folder(tmp_path).lock()
    assert lock is not None
    assert (tmp_path / ".lock").read_text().isdecimal()
    lock.close()


def test_what_cannot_be_used_is_one_line() -> None:
    with pytest.raises(ValueError, match="/proc/x cannot be written"):
        Folder(Path("/proc/x")).lock()
    pytest.importorskip("pyarrow", reason="the extra `sweep` is not installed")
    with pytest.raises(ValueError, match="nothing://x cannot be used"):
        open_storage("nothing://x")
