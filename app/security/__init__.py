"""Who asks, and what they may see. Values here are passed to every store call; nothing is allowed unless it says so."""
