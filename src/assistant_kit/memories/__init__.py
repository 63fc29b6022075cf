"""Where memories live, and what learns them."""
