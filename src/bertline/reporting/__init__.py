"""The report: every score, curve, confusion and mistake on one page for a browser."""
