"""What `benchmarks.tracking` is made of; `benchmarks.followed` sees the scene as it does."""
