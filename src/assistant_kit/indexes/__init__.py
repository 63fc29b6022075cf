"""Where passages are kept and found again: one place a file or folder."""
