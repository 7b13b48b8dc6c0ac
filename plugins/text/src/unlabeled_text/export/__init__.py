"""Native exports of encoders of text."""
