"""Label trees: how labels are grouped, what is fitted in the nodes, and the search for the best labels."""
