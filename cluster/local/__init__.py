"""A whole cluster on one machine, as child processes: what run_cluster.py is made of."""
