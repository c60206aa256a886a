"""`python -m tools.classroom E:/ --system windows --python 3.12` fills a stick."""

import sys

from tools.classroom.stick import main

if __name__ == "__main__":
    sys.exit(main())
