"""`python -m tools.site` makes the web page."""

import sys

from tools.site.build import main

if __name__ == "__main__":
    sys.exit(main())
