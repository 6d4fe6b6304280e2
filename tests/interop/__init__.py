"""Programs of others, as agents use them, through the gateway: what they leave is what they leave without it."""
