"""Several models as one, and the search for the parameters of one."""
