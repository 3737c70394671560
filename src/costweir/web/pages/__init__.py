"""The pages of the embedded UI: a list of catalogue questions and shared parts each. Nothing is added up
here."""
