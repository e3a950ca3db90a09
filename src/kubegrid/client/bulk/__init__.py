"""Arrow rows in bulk: dealt out to the partitions and cut into batches, each one entry of a log, applied once.

`kubegrid load`, `Table.write_arrow` and the pods that take rows from anybody write in this way. `writing` prepares and cuts →
`sending`, a thread for each partition → `flight_carrier` or `command_carrier`. pyarrow is imported by who comes here.
"""
