"""Deterministic simulation of one partition: real replicas, simulated everything else, one seed decides.

`world` runs the events in virtual time; `machine` is a process (a real `Replica` and a small store, driven turn by turn
as the data pod drives them); `network`, `coordinator`, `manager` and `clients` are what surrounds it; `scenario` draws
what a seed is like and `faults` what happens to it; `observer` watches from outside and `linearizability` judges what
the clients saw. `python -m tests.sim --help` runs campaigns; the tests beside are named for what they hold.
"""
