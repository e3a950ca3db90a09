"""Running SQL: the coordinating pod's side, from a statement's text to a stream of Arrow batches.

`engine` is the way in. A statement is parsed and planned by `sql/` (pure), bound against an empty DuckDB that has the
catalog's tables (`binding`), its fragments run in the partitions (`fragments`), what they yield is gathered
(`gathering`) and the final statement runs over that (`final`). How a partition is reached is not known here: `flight`
implements `partitions.Partitions` over the network, tests in process. Nothing is imported here: DuckDB costs 60 MB and
0.2 s, and a pod that nobody asks a query never pays them.
"""
