"""The seeded sample world, written as files in the providers' real formats."""

from costweir.demo.world import World, write_world

__all__ = ["World", "write_world"]
