"""A handler for tests that ask what a subscription was given."""


class Handled:
    """A handler that notes what it was given."""

    def __init__(self) -> None:
        self.events = []

    def __call__(self, event) -> None:
        self.events.append(event)

    @property
    def payloads(self):
        """The payloads of these events, in order."""
        return [event.payload for event in self.events]

    @property
    def sequences(self):
        """Their sequences."""
        return [event.sequence for event in self.events]
