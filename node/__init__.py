"""The node: the agent that runs once per machine. `mesh-node` runs it as a process, `EmbeddedNode` inside a program."""

from node.embedded import EmbeddedNode

__all__ = ["EmbeddedNode"]
