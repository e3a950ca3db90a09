"""`python -m kubegrid.cli`: how the runtime starts the grid's processes, wherever the console script lies."""

import sys

from kubegrid.cli import main

sys.exit(main())
