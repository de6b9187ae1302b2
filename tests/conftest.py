"""What every test runs under."""

from hypothesis import settings

# The same examples on every machine and on every run, however slow the machine is.
settings.register_profile("exact", derandomize=True, deadline=None)
settings.load_profile("exact")
