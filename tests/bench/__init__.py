"""Speed, as ratios of what runs beside it in the same minutes: `make bench`."""
