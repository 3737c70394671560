"""Live sources: what a provider's API says about a window of days, written as files that the readers stage."""
