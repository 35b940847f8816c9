"""Speed and memory beside the goals: ``python -m benchmarks``."""
