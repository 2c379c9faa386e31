"""The journey through the framework: its manifest, and the reader's own modules."""
