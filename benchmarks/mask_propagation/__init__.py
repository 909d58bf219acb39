"""Parts of `benchmarks.propagation`."""
