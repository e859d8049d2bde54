"""The simulation: many nodes in one process under virtual time. Run it with `python -m tools.simulate`."""
