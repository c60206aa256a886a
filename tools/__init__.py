"""Programs for makers and teachers: the web page, the slides, the printed guide, a stick for a class."""
