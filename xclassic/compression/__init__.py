"""Methods that compress label vectors to short codes, which linear models predict."""
