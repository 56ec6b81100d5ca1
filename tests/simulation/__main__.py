"""Tell one seed, line by line: python -m tests.simulation SEED [WORD ...]; lines with any word."""

import sys

from tests.simulation.story import tell


def main(seed: str, *words: str) -> int:
    outcome = tell(seed, traced=True)
    for line in outcome.lines or ():
        if not words or any(word in line for word in words):
            print(line)
    print("\n".join(["", *outcome.broken]) if outcome.broken else "all is well")
    return bool(outcome.broken)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
