"""Arrow Flight of a data pod: SQL, Flight SQL for ADBC drivers, bulk writes, and fragments for the other pods.

`server` takes the calls, each in a thread of gRPC; `service` says what it may ask of the pod. A call's bytes are made
sense of by `tickets` (ours, JSON) and `messages` (Flight SQL, protobuf); who may call is decided by `access`; `failures`
carries errors over the wire and back. `partitions` is the other side: how the engine of one pod reaches the primaries of
all. Nothing is imported here: pyarrow.flight is loaded when a pod opens its port, protobuf by the first Flight SQL call.
"""
