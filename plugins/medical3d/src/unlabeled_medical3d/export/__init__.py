"""Native exports of encoders of volumes."""
