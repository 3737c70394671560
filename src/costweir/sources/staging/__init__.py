"""What happens to bill files in the child process: opening, mapping, classifying, attributing, writing per
slot."""
