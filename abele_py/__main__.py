"""``python -m abele_py``: the ``abele`` command."""

import sys

from .cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
