"""Real input for the whole system: offline peers in processes of their own, a relay, and sums to hold them against."""
