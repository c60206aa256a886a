"""The numbers that a layer gives, kept on disk, and what a probe can do with them."""
