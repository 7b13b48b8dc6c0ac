"""Native exports of encoders of sound."""
