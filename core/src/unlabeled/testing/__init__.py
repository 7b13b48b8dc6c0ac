"""What plugin authors test with: toys, ranks, and the conformance kit."""
