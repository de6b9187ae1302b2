"""The protocols of the experiments can be run as they are written."""

from pathlib import Path

import pytest
import run
from protocol import Protocol

import configs
from configs import Config, SupervisedConfig

PROTOCOLS = pytest.mark.parametrize("protocol", run.PROTOCOLS.values(), ids=run.PROTOCOLS)


@PROTOCOLS
def test_all_flags_are_known_and_used(protocol: Protocol) -> None:
    kind = SupervisedConfig if protocol.program == "supervise" else Config
    first = next(iter(protocol.worlds))
    for world, of in protocol.worlds.items():
        best = {arm: list(protocol.trials(world, arm))[-1] for arm in protocol.arms}
        final = protocol.final(world, best)
        for flags in (
            f"{of.flags} {of.tuning} {best['relu']}",
            *(final.values() if world == first else [final["relu"]]),
        ):
            configs.parse_as(kind, flags.split())


@PROTOCOLS
def test_arms_have_as_many_trials_each_in_a_folder_of_its_own(protocol: Protocol) -> None:
    for world in protocol.worlds:
        trials = {arm: list(protocol.trials(world, arm)) for arm in protocol.arms}
        assert len({len(of_arm) for of_arm in trials.values()}) == 1
        folders = [
            protocol.folder(Path("runs"), world, arm, trial)
            for arm, of_arm in trials.items()
            for trial in of_arm
        ]
        best = {arm: of_arm[0] for arm, of_arm in trials.items()}
        folders += [protocol.folder(Path("runs"), world, n) for n in protocol.final(world, best)]
        assert len(set(folders)) == len(folders)


@PROTOCOLS
def test_hypotheses_are_about_arms_that_there_are(protocol: Protocol) -> None:
    named = {*protocol.losers, protocol.best, *protocol.drawn, *protocol.asked}
    named |= {arm for _, one, other in protocol.pairs for arm in (one, other)}
    assert named <= protocol.arms.keys()
