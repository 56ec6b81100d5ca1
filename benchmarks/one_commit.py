"""A node that commits each request by itself: the peer of group commit.

python -m benchmarks.one_commit --name n1 ...   takes the flags of `python -m node`
"""

from cluster import writer
from cluster.program import run_program
from node.__main__ import prepare

if __name__ == "__main__":
    writer.GROUP_MAX = 1
    run_program("node", prepare)
