"""Transfer strategies: `strategy.py` is the contract, then one file a method."""
