"""Features of more pictures than one machine can take."""
