"""The users there are, each with the bcrypt hash of a password."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from exporter.settings.errors import expect

HIGHEST_COST: Final = 20
EXPECTED: Final = 'a bcrypt hash like $2y$10$... (htpasswd -nBC 10 "")'
_HASH: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")


def _check_name(name: str) -> str:
    if ":" in name:
        # Perhaps a line of htpasswd, hash and all.
        raise expect("a user name, its hash behind the colon", shown="a name with a colon")
    return name


def _check_hash(value: SecretStr) -> SecretStr:
    match = _HASH.fullmatch(value.get_secret_value())
    if match is None:
        raise expect(EXPECTED)
    if not 4 <= int(match[1]) <= HIGHEST_COST:
        raise expect(f"a bcrypt hash with a cost of 4 to {HIGHEST_COST}")
    return value


Users = dict[
    Annotated[str, AfterValidator(_check_name)], Annotated[SecretStr, AfterValidator(_check_hash)]
]
