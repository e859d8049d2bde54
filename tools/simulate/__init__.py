"""The simulation: many nodes in one process under virtual time, from one seed. Run it with `python -m tools.simulate`."""
