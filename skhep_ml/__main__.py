"""``python -m skhep_ml``: the same as the command ``skhep-ml``."""

import sys

from skhep_ml.cli import main

if __name__ == "__main__":
    sys.exit(main())
