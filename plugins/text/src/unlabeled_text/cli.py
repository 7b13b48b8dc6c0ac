"""`unlabeled-text ...` is `unlabeled text ...`."""

from unlabeled.cli import script

main = script("text")
