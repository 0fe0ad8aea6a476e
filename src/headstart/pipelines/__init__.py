"""Pipelines: extract, fit-head, fine-tune and compare as one experiment, described by a YAML file."""
