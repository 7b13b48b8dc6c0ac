"""Decoders of the rows and the voxels of volumes."""
