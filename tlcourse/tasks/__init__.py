"""Labelled pictures in train, val and test."""
