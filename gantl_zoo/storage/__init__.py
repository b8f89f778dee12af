"""Model folders on disk, and all code that reads untrusted files."""
