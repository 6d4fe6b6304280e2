"""The suite: tests mirror the source tree; `servers` holds what starts real servers and clients."""
