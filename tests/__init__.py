"""A package, since some distributions leave a `tests` of their own where Python finds it first."""
