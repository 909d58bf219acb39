"""Parts of `benchmarks.reproduce_paper`."""
