"""The settings of a run, and the presets beside this file."""

from configs.messages import one_line
from configs.parsing import DEFAULT, FOLDER, differences, parse
from configs.presets import read_yaml
from configs.schema import Config

__all__ = ["DEFAULT", "FOLDER", "Config", "differences", "one_line", "parse", "read_yaml"]
