"""What predicts content of hidden rows, and voxels."""
