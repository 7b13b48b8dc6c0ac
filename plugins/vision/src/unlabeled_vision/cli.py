"""`unlabeled-vision ...` is `unlabeled vision ...`."""

from unlabeled.cli import script

main = script("vision")
