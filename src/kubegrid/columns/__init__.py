"""The columnar replica of a partition's tables, for SQL: derived from the row store, disposable, as fresh as a query asks.

`requests` is what a query asks of a partition, `conversion` makes Arrow of records, `building` and `delta` bring them into
DuckDB (`database`), `replica` keeps the copies, `broadcast` the rows that others own, `reading` and `running` give a query's
rows out in their time. Nothing is imported here: DuckDB costs 30 MB and 0.2 s, and most members never run a query. Who
takes what changed from the store, and lets answers leave, is in `node`: `sql_capture`, `sql_copies`, `sql_fragments`.
"""
