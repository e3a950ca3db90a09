"""SQL over the tables of a grid: so far the predicates with which records are found."""
