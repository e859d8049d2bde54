"""The benchmark: meshbus beside other systems, the same work for each. Run it with `python -m tools.bench`."""
