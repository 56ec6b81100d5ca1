"""What a person may write for a time server, and what is said of the rest."""

import pytest

from cluster.clock.sample import Server


class TestServers:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("ntp.example", "ntp.example", 123),
            ("ntp.example:8123", "ntp.example", 8123),
            ("192.0.2.1:1", "192.0.2.1", 1),
            ("[2001:db8::1]", "2001:db8::1", 123),
            ("[2001:db8::1]:8123", "2001:db8::1", 8123),
        ],
    )
    def test_an_address_is_read_and_written(self, text: str, host: str, port: int) -> None:
        """HOST[:PORT] and [IPv6][:PORT] are understood, and written out with the port."""
        server = Server.parse(text)

        assert (server.host, server.port) == (host, port)
        assert Server.parse(str(server)) == server

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "is not HOST"),
            ("a b", "is not HOST"),
            ("host:", "is not HOST"),
            ("host:ntp", "is not HOST"),
            ("2001:db8::1", "is not HOST"),
            ("http://host", "is not HOST"),
            ("[host]:1", "not an IPv6 address"),
            ("host:0", "not within 1 to 65535"),
            ("host:65536", "not within 1 to 65535"),
        ],
    )
    def test_a_wrong_address_is_refused_with_the_reason(self, text: str, reason: str) -> None:
        """Nothing is guessed: the text is repeated and what is wrong with it is said."""
        with pytest.raises(ValueError, match=reason):
            Server.parse(text)
