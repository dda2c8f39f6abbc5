"""`python -m tests.fuzz`."""

from tests.fuzz.fuzz import main

if __name__ == "__main__":
    main()
