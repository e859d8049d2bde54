"""Where the time of an event goes: publisher, node and subscriber, by stage and by function."""
