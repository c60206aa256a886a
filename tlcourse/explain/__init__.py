"""What a network answers, and which pixels and pictures speak for it."""
