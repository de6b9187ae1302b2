"""Many runs of the programs, on one machine or a cluster, by Ray."""
