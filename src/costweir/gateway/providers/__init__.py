"""What is special about each provider: its address, how it knows us, and whether it is well at the moment."""
