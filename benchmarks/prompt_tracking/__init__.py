"""What `benchmarks.prompts` is made of."""
