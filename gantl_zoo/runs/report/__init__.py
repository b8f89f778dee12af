"""One page about a run or a model: is it good, and why not?"""
