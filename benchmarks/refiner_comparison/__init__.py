"""Parts of `benchmarks.refinement`."""
