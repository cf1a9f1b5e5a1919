"""`python -m minigen` is `minigen`."""

from .cli import program

if __name__ == "__main__":
    program()
