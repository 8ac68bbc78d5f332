"""From addresses to documents: fetching, reading, cleaning, splitting into sentences."""
