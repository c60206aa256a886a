"""A pre-trained network: load it, name its layers, tap it, cut it, count it."""
