"""What other systems of observability read: metrics, log lines, and the files of `costweir render`."""
