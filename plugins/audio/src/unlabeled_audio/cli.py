"""`unlabeled-audio ...` is `unlabeled audio ...`."""

from unlabeled.cli import script

main = script("audio")
