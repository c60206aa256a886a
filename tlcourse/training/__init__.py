"""Train what is not frozen."""
