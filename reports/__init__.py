"""Runs beside each other: what is read, how it is compared, and the page that shows it."""
