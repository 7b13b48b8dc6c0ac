"""`unlabeled-medical3d ...` is `unlabeled medical3d ...`."""

from unlabeled.cli import script

main = script("medical3d")
