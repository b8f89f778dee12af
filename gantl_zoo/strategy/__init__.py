"""Transfer strategies: `base.py` defines the interface; every other file implements one method."""
