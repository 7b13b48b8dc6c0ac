"""What is wrong with one volume: its name is added by whoever reads many."""

from __future__ import annotations


class VolumeError(Exception):
    """One volume that cannot be used, with the reason."""
