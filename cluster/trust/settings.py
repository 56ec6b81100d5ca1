"""What can be set about trust, the same at every program."""

from typing import Annotated

import msgspec

from cluster.settings import Text


class CallerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a program that asks others."""

    token_file: Annotated[Text | None, msgspec.Meta(description="file with the token")] = None
    tls_ca: Annotated[
        Text | None,
        msgspec.Meta(description="PEM file: whom to believe; default: whom the system believes"),
    ] = None
    tls_cert: Annotated[
        Text | None, msgspec.Meta(description="PEM file: the certificate that is shown to others")
    ] = None
    tls_key: Annotated[Text | None, msgspec.Meta(description="PEM file: its key")] = None


class MemberSettings(CallerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a service, which others ask as well."""

    viewer_token_file: Annotated[
        Text | None,
        msgspec.Meta(description="file with other tokens, of those who may only look"),
    ] = None
    node_token_file: Annotated[
        Text | None,
        msgspec.Meta(
            description="file with the tokens that nodes bring to central; default: --token-file"
        ),
    ] = None
    central_token_file: Annotated[
        Text | None,
        msgspec.Meta(
            description="file with the tokens that central brings to nodes; default: --token-file"
        ),
    ] = None
    tls_mutual: Annotated[
        bool,
        msgspec.Meta(description="who asks must show a certificate that tls_ca believes"),
    ] = False
