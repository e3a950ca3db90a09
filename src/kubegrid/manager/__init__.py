"""The management process: coordinator, lookup service and REST. It decides nothing on the data path.

`main` is the process, `sessions` the members' links, `grid` what is known and done, `catalog` the tables; `beginning`,
`rebuild` and `reports` are the pure decisions, `operations` and `http` what can be asked for from outside.
"""
