"""Native exports of encoders of images."""
