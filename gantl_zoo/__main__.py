"""`python -m gantl_zoo` is `gantl-zoo`."""

from gantl_zoo.cli.app import main

if __name__ == "__main__":
    main()
