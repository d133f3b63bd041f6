"""The engine under nearly every method: linear models over the same rows, trained, stored and applied side by side."""
