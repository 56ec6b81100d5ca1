"""What speaks like a Textual app under textual-serve, and starts in no time.

It draws its process id, then whatever it is sent. `die` makes it fail with last words; a `deaf`
one hears neither that it should leave nor signals.
"""

import json
import os
import signal
import sys


def draw(text: str) -> None:
    drawn = text.encode()
    os.write(1, b"D%s%s" % (len(drawn).to_bytes(4, "big"), drawn))


def main() -> int:
    deaf = False
    os.write(1, b"__GANGLION__\n")
    draw(str(os.getpid()))
    while head := sys.stdin.buffer.read(5):
        said = sys.stdin.buffer.read(int.from_bytes(head[1:], "big"))
        if head[:1] == b"D":
            draw(said.decode())
        elif not deaf and json.loads(said)["type"] == "quit":
            return 0
        elif json.loads(said)["type"] == "resize":
            draw(f"{json.loads(said)['width']}")
        if said == b"deaf":
            deaf = True
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if said == b"die":
            os.write(2, b"Traceback ...\nno such \x1b[31mthing\n")
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
