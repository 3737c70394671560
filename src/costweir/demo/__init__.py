"""The seeded sample world, written as files in the providers' real formats."""
