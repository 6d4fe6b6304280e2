"""Runs the demo: `python scripts/demo.d/run_demo.py [--plain] [--embedded] [--keep DIR]`."""

import sys

from tour.main import main

if __name__ == "__main__":
    sys.exit(main())
