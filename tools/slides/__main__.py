"""`python -m tools.slides` makes the slides."""

import sys

from tools.slides.make import main

if __name__ == "__main__":
    sys.exit(main())
