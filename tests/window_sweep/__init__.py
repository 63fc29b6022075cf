"""Any journal, any window: what a request shows must always fit, be whole, in order, and begin like the one before."""
