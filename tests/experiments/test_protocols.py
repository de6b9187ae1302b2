"""The protocols of the experiments can be run as they are written."""

from pathlib import Path

import pytest
import rl_plasticity
import run
from protocol import Protocol

import configs
import envs
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


@pytest.mark.parametrize("world", rl_plasticity.PROTOCOL.worlds)
def test_a_run_has_visits_of_one_length_and_trials_have_the_first_of_them(world: str) -> None:
    of = rl_plasticity.PROTOCOL.worlds[world]
    phases = []
    for flags in (of.final, of.tuning):
        config = configs.parse(f"{of.flags} {flags}".split())
        length = config.steps_per_task
        assert length
        schedule = envs.schedule_of(config.env, length, cyclic=config.cyclic)
        count, rest = divmod(config.total_steps, length)
        assert rest == 0
        starts = range(0, config.total_steps, length)
        phases.append([schedule.at(start)[:2] for start in starts])
        assert len(set(phases[-1])) == count
    final, tuning = phases
    assert tuning == final[: len(tuning)]
    tasks = {task for task, _ in final}
    assert of.turn == (1 if len(tasks) == len(final) else len(tasks))
    assert len(tuning) < len(final)


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
