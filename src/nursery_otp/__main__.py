"""`python -m nursery_otp` is the command line, as `nursery-otp` is."""

import sys

from nursery_otp.cli import main

if __name__ == "__main__":
    sys.exit(main())
