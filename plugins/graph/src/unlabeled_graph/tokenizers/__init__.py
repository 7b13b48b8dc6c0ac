"""What a node stands for."""
