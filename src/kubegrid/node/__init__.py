"""The data pod: one member of one partition, with real sockets and clocks around `store` and `replication`.

Start at `pod` for how the parts are put together, at `connection` for the way of a command.
"""
