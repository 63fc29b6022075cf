"""A process that ignores the end of its input and SIGTERM; it says its process id on stderr."""

import os
import signal
import sys

signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), file=sys.stderr, flush=True)
while True:
    signal.pause()
