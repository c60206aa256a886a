"""Fuzzing: each reader of what others made gets millions of damaged inputs, for a bounded time."""
