"""Speed, always as a ratio to a named yardstick that ran in the same process or minute. `make bench`."""
