"""The benchmarks, each beside the direct connection in the same run. They fail only when they cannot run."""
