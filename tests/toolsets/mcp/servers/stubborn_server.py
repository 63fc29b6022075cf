"""A process that ignores the end of its input and SIGTERM; it says its process id on stderr."""

import os
import signal
import sys

signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stderr.write(f"{os.getpid()}\n")
while True:
    signal.pause()
