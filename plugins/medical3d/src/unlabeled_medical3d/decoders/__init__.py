"""Decoders of rows and of voxels."""
