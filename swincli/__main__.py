"""`python -m swincli`, which is also what torchrun starts."""

from swincli.commands.app import main

if __name__ == "__main__":
    main()
