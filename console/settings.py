"""What can be set at the console."""

from typing import Annotated

import msgspec

from cluster.protocol.central import Url
from cluster.settings import Text


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The console: shows the fleet live, starts pulls and pushes."""

    central: Annotated[Url, msgspec.Meta(description="central's address")] = "http://127.0.0.1:8100"
    token_file: Annotated[Text | None, msgspec.Meta(description="file with the token")] = None
    workbench: Annotated[
        Url | None,
        msgspec.Meta(
            description="address of run_cluster's workbench, where members can be broken on purpose"
        ),
    ] = None
