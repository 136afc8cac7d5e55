"""The process: signals, progress, devices, memory, the version."""
