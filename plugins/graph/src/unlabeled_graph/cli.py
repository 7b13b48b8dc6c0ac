"""`unlabeled-graph ...` is `unlabeled graph ...`."""

from unlabeled.cli import script

main = script("graph")
