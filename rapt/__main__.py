"""`python -m rapt` is `rapt`."""

from rapt.cli import main

if __name__ == "__main__":
    main()
