"""`python -m assistant_kit.cli` is `assistant-kit`."""

import sys

from assistant_kit.cli.command import main

sys.exit(main())
