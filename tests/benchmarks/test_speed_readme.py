"""The part of the README on speed is what the stored numbers say."""

import json
from pathlib import Path

import pytest
from speed_ratios import against, middle_half, speeds
from speed_readme import BEGIN, END, replace, section, table

ROOT = Path(__file__).parents[2]


def test_the_readme_is_as_the_stored_numbers_make_it() -> None:
    text = (ROOT / "README.md").read_text()
    assert replace(text, section(json.loads((ROOT / "docs/speed.json").read_text()))) == text


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    text = f"before\n{BEGIN}\nold\nlines\n{END}\nafter\n"
    assert replace(text, ["new"]) == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replace(replace(text, ["a", "", "b"]), ["new"]) == replace(text, ["new"])


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_text_without_the_two_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"speed:begin.*each once"):
        replace(text, ["new"])


def test_ratios_are_medians_of_the_rounds_and_who_was_left_out_has_none() -> None:
    found = {
        "dqn": {
            "ours --compile": {"steps": 100, "seconds": [1.0, 2.0, 4.0]},
            "ours --compile --activation adalin-relu": {"steps": 50, "seconds": [1.0, 1.0, 1.0]},
            "sb3": {"steps": 50, "seconds": [2.0, 2.0, 2.0]},
        }
    }
    assert speeds(found["dqn"]["sb3"]) == [25.0, 25.0, 25.0]
    assert against(found, "dqn", "ours --compile", "sb3") == [4.0, 2.0, 1.0]
    assert against(found, "dqn", "ours --compile", "sbx") == []
    assert "| DQN CartPole, `--compile` | 2.0 |  | 2.0 |" in table(found)


def test_a_single_round_is_its_own_middle_half() -> None:
    assert middle_half([3.0]) == (3.0, 3.0, 3.0)
    assert middle_half([1.0, 2.0, 3.0]) == (1.0, 2.0, 3.0)


def test_seeds_at_once_are_compared_within_a_round() -> None:
    result = {
        "seeds": {
            "one seed after another": {"steps": 10, "seconds": [1.0, 2.0]},
            "ten seeds at once": {"steps": 100, "seconds": [2.0, 4.0]},
        }
    }
    expected = "Steps per second as multiples of one seed after another: ten seeds at once 5.0."
    assert section(result) == [expected]
