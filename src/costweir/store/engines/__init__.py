"""One module per warehouse engine. Only the composition root names one."""
