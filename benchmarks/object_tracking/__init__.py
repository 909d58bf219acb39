"""What `benchmarks.tracking` is made of; `benchmarks.prompt_tracking` sees the scene as it does."""
