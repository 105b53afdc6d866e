"""The test runner behind `make test`: stages, how they are run side by side, and the count at the end."""
