"""Native exports."""
