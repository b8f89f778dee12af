"""The studio: a web application on the user's own machine. See docs/studio.md.

Imports no web library: `server.serve` and `app.create_app` do, and need the extra `studio`.
"""
