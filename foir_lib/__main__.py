"""``python -m foir_lib`` is ``foir``."""

from foir_lib.cli import main

if __name__ == "__main__":
    main()
