"""What `benchmarks.reproduce_paper` is made of."""
