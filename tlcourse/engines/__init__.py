"""What computes a forward pass: PyTorch, or another engine that is faster and gives the same."""
