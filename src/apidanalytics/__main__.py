"""``python -m apidanalytics``."""

import sys

from apidanalytics.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
