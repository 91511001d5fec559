"""``python -m abele_py.cli``, which torchrun needs."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main())
