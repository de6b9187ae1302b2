"""Settings of sample weight decay; the draws are tested with the replay."""

import pytest

from agents.ages import AgeWeights
from plasticity.mitigations.regularizers import L2Config
from plasticity.mitigations.replay import SampleWeightDecayConfig, age_weights


def test_the_replay_weighs_ages_if_it_is_chosen() -> None:
    assert age_weights({}) is None
    assert age_weights({"l2": L2Config()}) is None
    chosen = {
        "l2": L2Config(),
        "sample-weight-decay": SampleWeightDecayConfig(decay_steps=500, min_weight=0.2),
    }
    assert age_weights(chosen) == AgeWeights(500, 0.2)
    assert SampleWeightDecayConfig().weights() == AgeWeights()


def test_it_works_on_no_single_network() -> None:
    error = r"`networks` should be empty: all networks learn from one replay. Received \('q',\)"
    with pytest.raises(ValueError, match=error):
        SampleWeightDecayConfig(networks=("q",))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="`decay_steps` should be at least 1. Received 0"):
        SampleWeightDecayConfig(decay_steps=0)
    with pytest.raises(ValueError, match=r"`min_weight` should be in \(0, 1\]. Received 0"):
        SampleWeightDecayConfig(min_weight=0)
