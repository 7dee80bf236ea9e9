"""``python -m lightly_memloc`` is the command line."""

from lightly_memloc.cli.app import main

if __name__ == "__main__":
    main()
