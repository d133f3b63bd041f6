"""Methods that let similar rows vote: among the rows as they are, or in spaces learned for it."""
