"""Costweir: reads the bills, holds the calls, explains the spend and joins the two."""

__version__ = "0.1.0"
