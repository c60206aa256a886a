"""`python -m tlcourse` does what the command `tlcourse` does."""

from tlcourse.cli.app import main

if __name__ == "__main__":
    main()
