"""`gantl-zoo plugin new`: writes a package that passes its own tests at once. Needs no network."""
