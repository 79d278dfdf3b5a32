"""`python -m zoo.cli`, which torchrun can start."""

from __future__ import annotations

import sys

from zoo.cli.main import main

sys.exit(main())
