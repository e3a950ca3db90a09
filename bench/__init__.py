"""Programs that measure KubeGrid against its peers, in the same run on the same machine. See README.md."""
