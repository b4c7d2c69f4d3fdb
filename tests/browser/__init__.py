"""The card and the desk in a real browser."""
