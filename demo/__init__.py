"""The main job on real data, as `make demo` runs it: load, read, change, count, kill a primary, lose nothing."""
