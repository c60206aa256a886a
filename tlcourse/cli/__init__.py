"""The command `tlcourse`."""

from tlcourse.cli.app import app, main

__all__ = ["app", "main"]
