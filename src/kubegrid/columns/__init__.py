"""The columnar replica of a partition's tables, for SQL: derived from the row store, disposable, as fresh as a query asks.

`requests` is what a query asks of a partition, `conversion` makes Arrow of records, `replica` keeps the tables in DuckDB,
`fragment` runs a query's part over them. Nothing is imported here: DuckDB costs 30 MB and 0.2 s, and most members never
run a query. Who takes what changed from the store, and lets answers leave, is in `node/sql_capture`.
"""
