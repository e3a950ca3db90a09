"""KubeGrid: an in-memory data grid for real-time analytics."""

__version__ = "0.1.0"
