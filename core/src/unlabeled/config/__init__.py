"""Configuration: from constructors and YAML to a checked run."""
