"""The local runtime: a grid as processes of one machine, started, supervised and stopped in the right order.

`plan` decides (pure); `supervisor` acts; `preparation` turns a manifest into a state folder before anything starts.
`embedded` is a grid without processes of its own, for tests and notebooks.
"""
