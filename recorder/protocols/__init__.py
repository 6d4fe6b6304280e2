"""One folder a protocol; they do not know one another."""
