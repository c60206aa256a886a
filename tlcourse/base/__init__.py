"""This machine and its files: devices, memory, whole files, messages."""
