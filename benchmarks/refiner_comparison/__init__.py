"""What `benchmarks.refinement` is made of."""
