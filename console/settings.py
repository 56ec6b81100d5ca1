"""What can be set at the console."""

from typing import Annotated, Literal

import msgspec

from cluster.protocol.central import Url
from cluster.trust.settings import CallerSettings

ThemeName = Literal["dark", "light", "ansi", "contrast"]


class ConsoleSettings(CallerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The console: shows the fleet live, starts pulls and pushes.

    With a word it prints plain lines instead: status, pull, push, cancel, nodes, journal (each has
    its --help).
    """

    central: Annotated[Url, msgspec.Meta(description="central's address")] = "http://127.0.0.1:8100"
    read_only: Annotated[
        bool, msgspec.Meta(description="only look: nothing can be started or changed")
    ] = False
    theme: Annotated[
        ThemeName, msgspec.Meta(description="colours; ansi: the 16 of the terminal")
    ] = "dark"
    ascii: Annotated[bool, msgspec.Meta(description="draw with plain ASCII characters only")] = (
        False
    )
    slow: Annotated[
        bool,
        msgspec.Meta(description="for a slow line: draw every 2 s, fewer colours, no sparklines"),
    ] = False
    env: Annotated[
        Annotated[str, msgspec.Meta(max_length=20)] | None,
        msgspec.Meta(description="a word in the title bar, such as prod, in a loud colour"),
    ] = None
    workbench: Annotated[
        Url | None,
        msgspec.Meta(
            description="address of run_cluster's workbench, where members can be broken on purpose"
        ),
    ] = None
