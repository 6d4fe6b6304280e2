"""The benchmarks: each a ratio to the direct connection in the same run. They check nothing; they fail when they cannot run."""
