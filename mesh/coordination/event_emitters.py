"""The typed emitters, in the module the runbook names for them: `emit_training_complete` and the others."""

from mesh.coordination.emitters import *  # noqa: F403 - there are as many as types
