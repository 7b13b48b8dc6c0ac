"""Native exports of encoders of graphs."""
